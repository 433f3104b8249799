"""The names of the metrics that a model logs, as far as they stand in its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Module, own_nodes, text_of
from scaffold.check.labels import asks_kind, label_kind
from scaffold.check.source import Source
from scaffold.check.stubs import promised

LOGGING = ("log", "log_dict")
LOGGERS = ("self", "pl_module", "module", "model")
ANY = "\0"  # stands in a name for a part that is known only when the code runs


def logged_names(source: Source) -> set[str] | None:
    """Return the names of all logged metrics, with ANY for parts that are not known; None where nothing is known."""
    names = _of_runtime(source) if source.is_project else set()
    for module in source.modules:
        for call in module.calls():
            if isinstance(call.func, ast.Attribute) and call.func.attr in LOGGING and _is_self(call.func.value):
                found = _names_of(call)
                if found is None:
                    return None
                names |= found
    return names


def _names_of(call: ast.Call) -> set[str] | None:
    """Return the names in `self.log(name, …)` and `self.log_dict({name: …})`."""
    if not call.args:
        return None
    first = call.args[0]
    keys = first.keys if isinstance(first, ast.Dict) else [first]
    if isinstance(call.func, ast.Attribute) and call.func.attr == "log_dict" and not isinstance(first, ast.Dict):
        return None
    found = [_pattern(key) for key in keys]
    return {one for one in found if one} if all(found) else None


def _pattern(node: ast.expr | None) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) or ANY for part in node.values)
    return text_of(node)


def _of_runtime(source: Source) -> set[str]:
    """Return what the runtime's steps log unless they are overridden: losses and the task's metrics."""
    if source.model is None:
        return {ANY}
    names = {"train/loss"}
    metrics = _metrics(source)
    for stage, step in (("val", "validation_step"), ("test", "test_step")):
        found = source.code.method(source.model, step)
        is_own = found is not None and found[0].module in source.modules
        if found and is_own and not _calls_base(found[1]) and not promised(found[1]):
            continue
        names |= {f"{stage}/{name}" for name in ("loss", *(metrics or {ANY}))}
    return names


def _metrics(source: Source) -> set[str] | None:
    """Return the names of the metrics in `build_metrics`; None unless it writes out all of them.

    Only metrics of torchmetrics are sure to be logged by their names: one of somebody's own may compute several values.
    """
    assert source.model is not None
    found = source.code.method(source.model, "build_metrics")
    asked = [node for node in own_nodes(found[1]) if isinstance(node, ast.Call)] if found else []
    if any(asks_kind(node, "metrics") for node in asked):
        if _adds_further(source, asked):
            return None
        kind = label_kind(source)
        found = source.code.method(kind, "metrics") if kind else None
    if found is None:
        return None
    collections = list(_collections(found[1]))
    dicts = [call.args[0] for call in collections if call.args and isinstance(call.args[0], ast.Dict)]
    names = [text_of(key) for one in dicts for key in one.keys]
    metrics = [value for one in dicts for value in one.values]
    is_known = all(_is_of_torchmetrics(found[0].module, value) for value in metrics)
    return {name for name in names if name} if dicts and len(dicts) == len(collections) and is_known else None


def _collections(function: ast.AST) -> Iterator[ast.Call]:
    """Yield the calls that make a collection of metrics: by its class, or by a function whose result is returned."""
    returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and (node in returned or getattr(node.func, "id", "") == "MetricCollection"):
            yield node


def _adds_further(source: Source, calls: list[ast.Call]) -> bool:
    """Return whether the config names further metrics, which are added to those of the kind of label."""
    adds = any(isinstance(call.func, ast.Attribute) and call.func.attr == "add_metrics" for call in calls)
    options = source.settings.tree.get("task") if adds else None
    return isinstance(options, dict) and bool(options.get("metrics"))


def _is_of_torchmetrics(module: Module, metric: ast.expr) -> bool:
    return isinstance(metric, ast.Call) and module.full_name(metric.func).startswith("torchmetrics.")


def _calls_base(method: ast.AST) -> bool:
    return any(isinstance(node, ast.Name) and node.id == "super" for node in ast.walk(method)) or any(
        isinstance(node, ast.Attribute) and node.attr == "_measure" for node in ast.walk(method)
    )


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in LOGGERS

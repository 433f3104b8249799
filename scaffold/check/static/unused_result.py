"""Results of layers that nothing reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, Function
from scaffold.check.finding import Finding
from scaffold.check.kinds import made_in
from scaffold.check.rule import Rule
from scaffold.check.source import Source


def find(source: Source) -> Iterator[Finding]:
    """Yield every result of a layer that is not kept, or kept under a name that is not read before it is set again."""
    for module in source.modules:
        for cls in module.classes():
            if source.code.is_module(cls):
                layers = _layers(source, cls)
                for method in cls.methods.values():
                    yield from _in_method(cls, method, layers)


def _layers(source: Source, cls: Class) -> set[str]:
    """Return the attributes that hold layers; a metric may be called for what it keeps."""
    makers = {"__init__": cls.methods["__init__"]} if "__init__" in cls.methods else {}
    found = set()
    for name, kind, node in made_in(source.code, cls, makers):
        value = getattr(node, "value", None)
        made_by = cls.module.full_name(value.func) if isinstance(value, ast.Call) else ""
        if kind == "layer" and not made_by.startswith("torchmetrics."):
            found.add(name)
    return found


def _in_method(cls: Class, method: Function, layers: set[str]) -> Iterator[Finding]:
    for block in _blocks(method):
        for number, line in enumerate(block):
            if not (used := _used(line, layers)):
                continue
            place, rest, calls = cls.module.at(line), block[number + 1 :], " and ".join(f"self.{one}" for one in used)
            if isinstance(line, ast.Expr) and _is_layer(line.value, layers):
                yield RULE.finding(f"the result of {calls} is not kept", measured=used, **place)
            elif isinstance(line, ast.Assign) and (name := _name(line)) and _is_lost(name, line, rest, method):
                what = f"{name}, which is made by {calls}, is never read"
                yield RULE.finding(what, measured=used, **place)


def _is_lost(name: str, line: ast.stmt, rest: list[ast.stmt], method: Function) -> bool:
    """Return whether the value that a statement gives a name is never read."""
    for later in rest:
        if any(_reads(node, name) for node in ast.walk(later)):
            return False
        if isinstance(later, ast.Assign) and _name(later) == name:
            return True
    loops = [node for node in ast.walk(method) if isinstance(node, ast.For | ast.While) and line in ast.walk(node)]
    around = {node for loop in loops for node in ast.walk(loop)}
    return not any(
        _reads(node, name) and (node in around or getattr(node, "lineno", 0) > line.lineno) for node in ast.walk(method)
    )


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    for inner in ast.walk(node):
        for field in ("body", "orelse", "finalbody"):
            block = getattr(inner, field, None)
            if isinstance(block, list):
                yield block


def _used(line: ast.stmt, layers: set[str]) -> list[str]:
    """Return the layers that a simple statement calls."""
    nodes = ast.walk(line.value) if isinstance(line, ast.Assign | ast.Expr) else ()
    calls = [node.func for node in nodes if isinstance(node, ast.Call)]
    return [func.attr for func in calls if isinstance(func, ast.Attribute) and _is_own(func) and func.attr in layers]


def _is_layer(node: ast.expr, layers: set[str]) -> bool:
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Attribute) and _is_own(called) and called.attr in layers


def _is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _name(line: ast.Assign) -> str:
    """Return the one name that a statement sets; `_` and its like say that it is not read."""
    target = line.targets[0]
    is_single = len(line.targets) == 1 and isinstance(target, ast.Name) and not target.id.startswith("_")
    return target.id if is_single and isinstance(target, ast.Name) else ""


def _reads(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Store)


RULE = Rule(
    id="unused-result",
    severity="warning",
    title="A layer is called and nothing reads its result.",
    why="The layer has no effect, though it costs its time; its parameters get no gradient. Often the name is a typo.",
    fix="Use the result, or delete the line.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        dropped = self.dropout(hidden)
        return self.head(hidden)
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        dropped = self.dropout(hidden)
        return self.head(dropped)
""",
    find=find,
)

"""The metric that picks the best checkpoint against the metrics that are logged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from scaffold.check.code import Class, Function, Module, Place, own_nodes, text_of
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.labels import asks_kind, label_kind
from scaffold.check.logged import ANY, logged_names
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_config
from scaffold.errors import nearest


def find(source: Source) -> Iterator[Finding | NotChecked]:
    """Yield every monitored key that nothing logs; keys that cannot be read are left out."""
    wanted = list(_monitored(source))
    logged = logged_names(source) if wanted else set()
    hidden = []
    for name, place in wanted:
        if name is None or logged is None or any(_may_be(name, one) for one in logged):
            hidden.append(name or "the task's monitor")
        elif not any(_matches(name, one) for one in logged):
            known = sorted(one.replace(ANY, "…") for one in logged)
            near = nearest(name, known)
            fix = f"Did you mean {near}?" if near else None
            yield RULE.finding(f"nothing logs {name}; logged are {', '.join(known)}", measured=name, fix=fix, **place)
    if hidden:
        reason = f"known only when the code runs: whether {', '.join(dict.fromkeys(hidden))} is logged"
        yield RULE.not_checked(reason, until="monitor-logged")


def _monitored(source: Source) -> Iterator[tuple[str | None, Place]]:
    """Yield each metric that something waits for, with its place: in the config, in the task, in a call.

    None stands for one that only running the code tells.
    """
    if source.is_project and not needs_config(source):
        named = source.settings.tree.get("monitor")
        if isinstance(named, str):
            yield named, source.settings.place("monitor")
        elif source.model and (found := source.code.method(source.model, "monitor")):
            yield from _of_task(source, *found)
    for module in source.modules:
        yield from _named_in(module)


def _of_task(source: Source, owner: Class, method: Function) -> Iterator[tuple[str | None, Place]]:
    is_own = owner.module in source.modules
    place = owner.module.at(method) if is_own else source.settings.place("monitor")
    for value in [node.value for node in own_nodes(method) if isinstance(node, ast.Return)]:
        if asks_kind(value, "monitor"):
            kind = label_kind(source)
            found = source.code.value(kind, "monitor") if kind else None
            pairs = [found[1] if found else None]
        else:
            pairs = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
        for pair in pairs:
            yield text_of(pair.elts[0]) if isinstance(pair, ast.Tuple) and pair.elts else None, place


def _named_in(module: Module) -> Iterator[tuple[str | None, Place]]:
    """Yield what `ModelCheckpoint(monitor="…")` and `{"monitor": "…"}` name."""
    for node in module.nodes:
        if isinstance(node, ast.Call):
            values = [word.value for word in node.keywords if word.arg == "monitor"]
        elif isinstance(node, ast.Dict):
            values = [value for key, value in zip(node.keys, node.values, strict=True) if text_of(key) == "monitor"]
        else:
            continue
        yield from ((name, module.at(value)) for value in values if (name := text_of(value)))


def _may_be(name: str, logged: str) -> bool:
    """Return whether all metrics of a stage are unknown, so that the name may be one of them."""
    return logged == ANY or (logged.endswith(f"/{ANY}") and name.startswith(logged[:-1]))


def _matches(name: str, logged: str) -> bool:
    """Return whether a logged name may be the one that is waited for; val/loss also stands for val_loss."""
    pattern = ".+".join(re.escape(part) for part in logged.replace("/", "_").split(ANY))
    return bool(re.fullmatch(rf"{pattern}(_epoch|_step)?", name.replace("/", "_")))


RULE = Rule(
    id="monitor",
    severity="error",
    title="The metric that picks the best checkpoint is never logged.",
    why="Training stops after the first validation, or keeps whichever checkpoint happens to come last.",
    fix="Name a metric that is logged, or log this one in validation_step.",
    example="""\
import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        logits = self.head(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]))


best = ModelCheckpoint(monitor="val_accuracy")
""",
    instead="""\
import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        logits = self.head(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(logits, batch[1]))


best = ModelCheckpoint(monitor="val_loss")
""",
    find=find,
    composed=True,
)

"""Hooks that Lightning 2 no longer calls, or calls with other arguments."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, Function, parameters
from scaffold.check.finding import Finding
from scaffold.check.removed import HOOKS
from scaffold.check.rule import Rule
from scaffold.check.source import Source

EPOCH_ENDS = ("on_train_epoch_end", "on_validation_epoch_end", "on_test_epoch_end", "on_predict_epoch_end")


def find(source: Source) -> Iterator[Finding]:
    """Yield every method with the name of a hook that is gone, and those with arguments that are gone."""
    called = {call.func.attr for one in source.modules for call in one.calls() if isinstance(call.func, ast.Attribute)}
    for module in source.modules:
        for cls in module.classes():
            is_lightning = source.code.is_lightning(cls)
            for name, method in cls.methods.items():
                place = module.at(method)
                if name in HOOKS and name not in called and (is_lightning or _means_lightning(name)):
                    fix = f"Use {HOOKS[name]}; outputs that it needs are kept by the step that makes them."
                    yield RULE.finding(f"Lightning never calls {name}", measured=name, fix=fix, **place)
                elif is_lightning and (argument := _gone(source, cls, method)):
                    fix = f"Remove {argument}; keep what you need of the steps in the module itself."
                    yield RULE.finding(f"Lightning gives {name} no {argument}", measured=argument, fix=fix, **place)


def _means_lightning(name: str) -> bool:
    """Return whether a name can only be meant for Lightning, in a mixin whose bases do not say what it is."""
    return name.endswith(("_epoch_end", "_step_end")) and not name.startswith("on_")


def _gone(source: Source, cls: Class, method: Function) -> str | None:
    names = [argument.arg for argument in parameters(method)]
    if "optimizer_idx" in names and (method.name.endswith("_step") or method.name == "toggle_optimizer"):
        return "optimizer_idx"
    is_callback = any(base.endswith("Callback") for base in source.code.foreign_bases(cls))
    needed = names[: len(names) - len(method.args.defaults)]
    return needed[0] if method.name in EPOCH_ENDS and needed and not is_callback else None


RULE = Rule(
    id="removed-hook",
    severity="error",
    title="A hook is defined that Lightning 2 does not call, or calls with other arguments.",
    why="What is written in it never happens, without a word: metrics are not computed, schedules do not step.",
    fix="Use the hook that took its place.",
    example="""\
import lightning.pytorch as pl
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.hits = 0

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.hits += int((self.head(batch[0]).argmax(-1) == batch[1]).sum())

    def validation_epoch_end(self, outputs: list[Tensor]) -> None:
        self.log("val/hits", float(self.hits))
""",
    instead="""\
import lightning.pytorch as pl
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.hits = 0

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.hits += int((self.head(batch[0]).argmax(-1) == batch[1]).sum())

    def on_validation_epoch_end(self) -> None:
        self.log("val/hits", float(self.hits))
""",
    find=find,
)

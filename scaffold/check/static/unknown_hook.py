"""Methods that are probably meant to be a hook of Lightning or of the runtime, but are spelt otherwise."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class
from scaffold.check.finding import Finding
from scaffold.check.removed import HOOKS as REMOVED
from scaffold.check.rule import Rule
from scaffold.check.source import Source
from scaffold.errors import nearest

STAGES = ("train", "validation", "test", "predict")
HOOKS = {
    *("forward", "training_step", "validation_step", "test_step", "predict_step", "backward", "setup", "teardown"),
    *("configure_optimizers", "configure_model", "configure_callbacks", "configure_gradient_clipping"),
    *("optimizer_step", "optimizer_zero_grad", "lr_scheduler_step", "transfer_batch_to_device"),
    *("train_dataloader", "val_dataloader", "test_dataloader", "predict_dataloader", "prepare_data"),
    *(f"on_{stage}_{unit}_{end}" for stage in STAGES for unit in ("epoch", "batch") for end in ("start", "end")),
    *(f"on_{stage}_{end}" for stage in ("fit", *STAGES) for end in ("start", "end")),
    *("on_before_backward", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad"),
    *("on_before_batch_transfer", "on_after_batch_transfer", "on_save_checkpoint", "on_load_checkpoint"),
}
NEAR = 0.85  # validate_step is meant to be validation_step; training_step_of_teacher is not


def find(source: Source) -> Iterator[Finding]:
    """Yield every method that nobody calls and whose name is nearly that of a hook."""
    used = {node.attr for one in source.modules for node in one.nodes if isinstance(node, ast.Attribute)}
    for module in source.modules:
        for cls in module.classes():
            known = HOOKS | _inherited(source, cls) if source.code.is_lightning(cls) else set()
            for name, method in cls.methods.items():
                near = nearest(name, sorted(known - cls.methods.keys()), NEAR)
                if near and name not in known | used | REMOVED.keys() and name[0] != "_":
                    what = f"nothing calls {name}; there is a hook called {near}"
                    fix = f"Did you mean {near}?"
                    yield RULE.finding(what, measured=name, fix=fix, **module.at(method))


def _inherited(source: Source, cls: Class) -> set[str]:
    return {name for base in source.code.line_of_classes(cls)[1:] for name in base.methods}


RULE = Rule(
    id="unknown-hook",
    severity="warning",
    title="A method has nearly the name of a hook, and nothing calls it.",
    why="What is written in it never happens, without a word; the default takes its place.",
    fix="Correct the name, or call the method.",
    example="""\
import lightning.pytorch as pl
import torch
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.head(batch[0]), batch[1])

    def configure_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)
""",
    instead="""\
import lightning.pytorch as pl
import torch
from torch import Tensor, nn


class Model(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 3)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.head(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-3)
""",
    find=find,
)

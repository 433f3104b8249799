"""A few steps of the real Trainer, with a callback that watches what the hooks of a Lightning module do."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_compare import is_same
from scaffold.check.probe_modes import resting

STEPS = 3
NOISY = ("lightning.pytorch", "lightning.fabric", "scaffold.runtime")


@dataclass
class Watched:
    """What was seen of a module's parameters, by name, and of its metrics.

    changed_early: they changed between the start of a batch and its backward pass; the largest change. frozen_changed:
    they had no gradient, or one of zero, in every step, and yet decayed or were moved by an optimizer. frozen_late: an
    optimizer got them before they were frozen. outside: trainable, but in no optimizer. resting: parts that are in
    evaluation mode when a loss is there. trainable: whether anything is, once training begins. metrics: stage -> the
    metrics that it updates. steps: how many had a loss. has_learnt: whether any weight changed. rate: the largest
    learning rate, before any schedule.
    """

    changed_early: dict[str, float] = field(default_factory=dict)
    frozen_changed: dict[str, float] = field(default_factory=dict)
    frozen_late: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    resting: list[str] = field(default_factory=list)
    metrics: dict[str, set[str]] = field(default_factory=dict)
    trainable: bool = True
    steps: int = 0
    has_learnt: bool = False
    rate: float = 0.0


class Watcher(pl.Callback):
    """Compares weights, gradients and metrics at the seams of a step."""

    def __init__(self) -> None:
        self.seen = Watched()
        self.values: dict[str, Tensor] = {}
        self.first: dict[str, Tensor] = {}
        self.trainable: set[str] = set()
        self.held: set[str] = set()
        self.moved: set[str] = set()
        self.counts: dict[str, int] = {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what is trainable when the optimizers are built; the module's own hook comes after this one."""
        self.trainable = {name for name, parameter in pl_module.named_parameters() if parameter.requires_grad}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note what is trained, and by which optimizer."""
        self.first = _values(pl_module)
        groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
        ids = {id(one) for group in groups for one in group["params"]}
        parameters = dict(pl_module.named_parameters())
        self.held = {name for name, one in parameters.items() if id(one) in ids}
        self.seen.outside = [name for name, one in parameters.items() if one.requires_grad and name not in self.held]
        frozen = {name for name, one in parameters.items() if not one.requires_grad}
        self.seen.frozen_late = sorted(frozen & self.held & self.trainable)
        self.seen.trainable = len(frozen) < len(parameters)
        self.seen.rate = float(max((group.get("initial_lr", group["lr"]) for group in groups), default=0.0))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the weights, and count the updates of every metric before a batch."""
        self.values, self.counts = _values(pl_module), _updates(pl_module)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """See whether weights changed while the loss was computed."""
        self.seen.steps += 1
        self.seen.resting = resting(pl_module)
        trained = {name for name, parameter in pl_module.named_parameters() if parameter.requires_grad}
        for name, change in _changes(self.values, pl_module).items():
            if name in trained:
                self.seen.changed_early[name] = max(change, self.seen.changed_early.get(name, 0.0))

    def on_before_optimizer_step(self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any) -> None:
        """Note which weights the step is to change."""
        for name, parameter in pl_module.named_parameters():
            if parameter.grad is not None and bool(parameter.grad.any()):
                self.moved.add(name)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Note the metrics that training updates."""
        self._note("training", pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the weights that had no gradient."""
        changes = _changes(self.first, pl_module)
        parameters = dict(pl_module.named_parameters())
        still = set(changes) - self.moved
        # what no optimizer holds may be moved on purpose, as a teacher is; it does not shrink
        decayed = {name for name in still - self.held if _has_shrunk(self.first[name], parameters[name])}
        self.seen.frozen_changed = {name: changes[name] for name in changes if name in (still & self.held) | decayed}
        self.seen.has_learnt = bool(changes)

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Count the updates of every metric before a batch."""
        self.counts = _updates(pl_module)

    def on_validation_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Note the metrics that validation updates."""
        self._note("validation", pl_module)

    def on_test_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Count the updates of every metric before a batch."""
        self.counts = _updates(pl_module)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Note the metrics that the test updates."""
        self._note("test", pl_module)

    def _note(self, stage: str, module: pl.LightningModule) -> None:
        updated = {name for name, count in _updates(module).items() if count > self.counts.get(name, 0)}
        self.seen.metrics[stage] = self.seen.metrics.get(stage, set()) | updated


def fit(bench: Bench) -> Ran:
    """Train, validate and test a Lightning module for a few steps; the output is what was watched."""
    watcher = Watcher()

    def run() -> None:
        model: Any = bench.made
        batches = [bench.lightning_batch(number) for number in range(STEPS)]
        with tempfile.TemporaryDirectory() as folder, quiet():
            trainer = pl.Trainer(callbacks=[watcher], default_root_dir=folder, **_settings())
            trainer.fit(model, _loader(batches), _loader(batches[:1]) if _has(model, "validation_step") else None)
            if _has(model, "test_step"):
                trainer.test(model, _loader(batches[:1]), verbose=False)

    ran = attempt("training, validation and test with the Trainer", run)
    return Ran(watcher.seen, ran.crash)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Lightning from talking about itself."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _settings() -> Mapping[str, Any]:
    off = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "inference_mode"), False
    )
    return off | {"max_epochs": 1, "num_sanity_val_steps": 0, "accelerator": "cpu", "devices": 1}


def _has(model: nn.Module, step: str) -> bool:
    return getattr(type(model), step) is not getattr(pl.LightningModule, step)


def _loader(batches: list[Any]) -> Any:
    return torch.utils.data.DataLoader(batches, batch_size=None)  # type: ignore[arg-type]


def _values(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def _changes(before: Mapping[str, Tensor], module: nn.Module) -> dict[str, float]:
    now = {name: parameter.detach() for name, parameter in module.named_parameters() if name in before}
    changed = [name for name, value in now.items() if not is_same(value, before[name])]
    return {name: float((now[name] - before[name]).abs().max()) for name in changed}


def _has_shrunk(before: Tensor, after: Tensor) -> bool:
    one, other = before.flatten().double(), after.detach().flatten().double()
    share = float(one @ other / (one @ one).clamp(min=1e-12))
    return share < 1 and bool(torch.allclose(one * share, other, rtol=1e-4, atol=1e-7))


def _updates(module: nn.Module) -> dict[str, int]:
    return {name: part._update_count for name, part in _metrics(module).items()}


def _metrics(module: nn.Module) -> dict[str, Metric]:
    found = {name: part for name, part in module.named_modules() if isinstance(part, Metric)}
    loose = {name: value for name, value in vars(module).items() if isinstance(value, Metric)}
    return found | loose

"""What of `conf/trainer` a training loop without Lightning honours; all else is refused, not passed over."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import torch
from omegaconf import DictConfig

from scaffold.errors import ConfigError, Where, listed
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Natural, Positive, Range, read_settings
from scaffold.runtime.training.reports import refuse_other_callbacks

Limit = Positive | Annotated[float, Range(0.001, 1)] | None
WITH_LIGHTNING = "train with train.py, which takes any argument of Lightning's Trainer"


@dataclass(frozen=True)
class LoopSettings:
    """The settings of a loop without Lightning, each with its meaning there.

    A limit is a number of batches, or a part of them, which is at least one.
    """

    max_epochs: Positive = 1
    max_steps: Positive | Literal[-1] = -1
    accelerator: Literal["auto", "cpu", "gpu", "cuda"] = "auto"
    devices: Literal[1, "auto"] = 1
    precision: Literal["32-true", "bf16-mixed", "32", 32] = "32-true"
    gradient_clip_val: float | None = None
    accumulate_grad_batches: Positive = 1
    log_every_n_steps: Natural = 50
    limit_train_batches: Limit = 1.0
    limit_val_batches: Limit = 1.0
    limit_test_batches: Limit = 1.0
    callbacks: list[Any] | None = None

    @property
    def device(self) -> torch.device:
        """Where the model is trained."""
        on_gpu = self.accelerator in ("gpu", "cuda") or (self.accelerator == "auto" and torch.cuda.is_available())
        return torch.device("cuda" if on_gpu else "cpu")

    def steps(self, batches: int) -> int:
        """Return how many optimizer steps a training has whose epochs have so many batches."""
        steps = self.max_epochs * math.ceil(batches / self.accumulate_grad_batches)
        return steps if self.max_steps == -1 else min(steps, self.max_steps)

    def batches_after(self, step: int) -> int:
        """Return how many batches `max_steps` leaves after a step; without it, there is no end of them."""
        return sys.maxsize if self.max_steps == -1 else max(0, self.max_steps - step) * self.accumulate_grad_batches

    def forward_of(self, model: torch.nn.Module) -> Any:
        """Return the model's `forward` in the precision of the training."""
        if self.precision != "bf16-mixed":
            return model.forward
        return torch.autocast(self.device.type, torch.bfloat16)(model.forward)


def loop_settings(config: DictConfig) -> LoopSettings:
    """Return `conf/trainer` as settings; ConfigError for what a loop without Lightning cannot do."""
    values, known = plain(config, "trainer"), [one.name for one in fields(LoopSettings)]
    others = [name for name in values if name not in known]
    if others:
        raise ConfigError(
            f"this training loop has no setting trainer.{others[0]}",
            because=f"of conf/trainer it knows {listed(known, 20)}",
            fix=f"leave it out, or {WITH_LIGHTNING}",
            where=Where(key=f"trainer.{others[0]}"),
            code="config.trainer",
        ).with_details([f"nor has it trainer.{name}" for name in others[1:]])
    try:
        settings = read_settings(LoopSettings, values, "trainer")
    except ConfigError as problem:
        problem.fix += f", or {WITH_LIGHTNING}"
        raise
    refuse_other_callbacks(config)
    return settings


def limited(total: int, limit: Limit) -> int:
    """Return how many of a number of batches a limit leaves."""
    if limit is None or isinstance(limit, int):
        return total if limit is None else min(total, limit)
    return max(1, int(total * limit))

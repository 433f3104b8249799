"""The metric that picks the best checkpoint: which it is, what was its best value, and when patience has ended."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from scaffold.errors import ConfigError, Where, listed, shown

log = logging.getLogger(__name__)

LOSS = "val/loss"
KEPT = ("monitor", "best", "loss", "epoch", "waited")


@dataclass
class Selection:
    """What the validations of a run said so far.

    best, loss, epoch: of the best validation, the value of the metric, the loss, and the epoch, counted from 1. waited:
    validations since then. patience: how many of these end the training; None ends it never. is_latest: whether the
    latest validation was the best.
    """

    monitor: str
    mode: str
    patience: int | None = None
    best: float | None = None
    loss: float | None = None
    epoch: int = 0
    waited: int = 0
    is_latest: bool = False

    @property
    def is_over(self) -> bool:
        """Whether there were too many validations without a better one."""
        return self.patience is not None and self.waited >= self.patience

    @property
    def figures(self) -> dict[str, float]:
        """What the final metrics say of the best validation; nothing where there was none."""
        return {} if self.best is None else {self.monitor: self.best, "best/epoch": self.epoch}

    def state(self) -> dict[str, Any]:
        """Return what validations said, but not the settings, which may change when a run goes on."""
        return {name: getattr(self, name) for name in KEPT}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        for name in KEPT:
            setattr(self, name, state[name])

    def count(self, metrics: Mapping[str, Any], epoch: int) -> bool:
        """Count a validation, and return whether it is the best so far; NaN and infinity never are.

        Of two with the same value the one with the smaller loss is better.
        """
        self.monitor = logged_name(self.monitor, metrics)
        score, loss = float(metrics[self.monitor]), _loss(metrics)
        self.is_latest = self._is_better(score, loss)
        if self.is_latest:
            self.best, self.loss, self.epoch, self.waited = score, loss, epoch, 0
        else:
            self.waited += 1
        return self.is_latest

    def _is_better(self, score: float, loss: float | None) -> bool:
        if not math.isfinite(score) or self.best is None:
            return math.isfinite(score)
        if score == self.best:
            return loss is not None and self.loss is not None and loss < self.loss
        return score > self.best if self.mode == "max" else score < self.best


def _loss(metrics: Mapping[str, Any]) -> float | None:
    return next((float(value) for name, value in metrics.items() if name.replace("_", "/") == LOSS), None)


def monitored(config: DictConfig, model: Any) -> tuple[str, str]:
    """Return the metric that picks the best checkpoint, and its direction: the config's, else the task's."""
    name, mode = model.monitor(model.context)
    chosen = config.monitor or name
    if config.mode is None and chosen != name and not chosen.endswith("loss"):
        raise ConfigError(
            f"is more or less of {chosen} better?",
            because="monitor is set and mode is not",
            fix="set mode=max or mode=min",
            where=Where(key="mode"),
        )
    if chosen == name and config.mode not in (None, mode):
        log.warning("mode=%s keeps the checkpoint with the worst %s: of it, %s is better", config.mode, name, mode)
    mode = config.mode or (mode if chosen == name else "min")
    if mode not in ("max", "min"):
        raise ConfigError(
            f"Expected mode to be max or min, got {shown(mode)}",
            fix="set mode=max or mode=min",
            where=Where(key="mode"),
        )
    return chosen, mode


def logged_name(monitor: str, logged: Mapping[str, Any]) -> str:
    """Return the logged metric that `monitor` names; `val/accuracy` also stands for a logged `val_accuracy`.

    Errors: ConfigError when there is none.
    """
    alike = [name for name in logged if name.replace("_", "/") == monitor.replace("_", "/")]
    if alike:
        return monitor if monitor in alike else alike[0]
    raise ConfigError(
        f"nothing logs the monitored metric {monitor}",
        because=f"validation logs {listed(sorted(logged)) or 'nothing'}",
        fix="set monitor to one of these (and mode to max or min), or log it in validation_step",
        where=Where(key="monitor"),
        code="config.monitor",
    )


def patience_ended(epoch: int, monitor: str, waited: int) -> str:
    """Return the line that says why training stops before its last epoch."""
    return f"stopped after epoch {epoch}: {monitor} has not improved for {waited} validations (patience)"

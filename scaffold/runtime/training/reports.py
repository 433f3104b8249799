"""What looks at every batch of a test and leaves files for people, whatever trained the model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig

from scaffold.errors import ConfigError, Where
from scaffold.runtime.batch import Batch
from scaffold.runtime.config.objects import instantiate, locate, plain

KEY = "trainer.callbacks"


class Report(pl.Callback, ABC):
    """A callback of `conf/trainer` that every training loop's test asks, and `evaluate` too.

    prefix: what the names of its files begin with; `evaluate` sets it, so that the files of the training stay.
    """

    prefix = ""

    @abstractmethod
    def begin(self, module: Any) -> None:
        """Forget what was seen before; the test of a model begins."""

    @abstractmethod
    def add(self, output: Any, batch: Batch) -> None:
        """Look at a batch; output is what `test_step` returned, None where it returns nothing."""

    @abstractmethod
    def write(self, folder: Path | None, rows: Sequence[Any]) -> None:
        """Write the files into a folder; None in all processes but the first. rows: the samples of the test."""

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin."""
        self.begin(pl_module)

    def on_test_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:
        """Add a batch."""
        self.add(outputs, batch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write into the trainer's folder, which is that of the run."""
        folder = Path(trainer.default_root_dir) if trainer.is_global_zero else None
        self.write(folder, trainer.datamodule.rows("test"))  # type: ignore[attr-defined]


def reports_of(config: DictConfig, prefix: str = "") -> list[Report]:
    """Return the reports among the callbacks that a config names; the other callbacks are left out."""
    reports = [instantiate(one, KEY) for one in _named(config) if issubclass(_class_of(one), Report)]
    for report in reports:
        report.prefix = prefix
    return reports


def begun_reports(config: DictConfig, module: Any) -> list[Report]:
    """Return the reports of a config, ready for the first batch of a test of this model."""
    reports = reports_of(config)
    for report in reports:
        report.begin(module)
    return reports


def refuse_other_callbacks(config: DictConfig) -> None:
    """Raise ConfigError for a callback that only Lightning can call."""
    for one in _named(config):
        if not issubclass(_class_of(one), Report):
            raise ConfigError(
                f"this training loop cannot call {one['_target_']}",
                because="it is one for Lightning's Trainer; without that, nothing but reports on the test is called",
                fix="train with train.py, or leave it out: trainer.callbacks=[]",
                where=Where(key=KEY),
                code="config.trainer",
            )


def _named(config: DictConfig) -> Iterator[dict[str, Any]]:
    callbacks = plain(config, "trainer").get("callbacks") or []
    yield from (one for one in callbacks if isinstance(one, dict) and "_target_" in one)


def _class_of(described: dict[str, Any]) -> type:
    found = locate(described["_target_"], KEY)
    return found if isinstance(found, type) else object

"""What watches over training: reproducible batches, a finite loss, signals, the best checkpoint, and the screen."""

from __future__ import annotations

import json
import math
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from torch import Tensor

from scaffold.errors import ConfigError, DivergedError, Where, listed
from scaffold.runtime.console import say
from scaffold.runtime.files import write_text
from scaffold.runtime.loggers import CurveLogger
from scaffold.runtime.manifest import manifest
from scaffold.runtime.run import Run

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}
LOG_EVERY = 50
REFRESH_EVERY = 25


class Interrupted(SystemExit):
    """A signal ended training after its state was saved; the exit code says which."""


class Guard(pl.Callback):
    """Keeps training exact and safe at every batch.

    Randomness depends on (seed, rank, epoch, batch) alone, so that a resumed run draws what the uninterrupted one would.
    A loss that is not finite ends the run before it touches the weights. After a signal, the state is saved at the next
    optimizer step. One callback, because each costs every hook of every batch.
    """

    def __init__(self, run: Run, seed: int) -> None:
        self.run, self.seed = run, seed
        self.received: int | None = None
        self.rows: Any = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tell the data where the interrupted epoch stopped."""
        if trainer.state.fn != "fit" or getattr(trainer, "datamodule", None) is None:
            return
        # `processed`, not `completed`: the latter lags by one in what is saved at the end of a batch
        done = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["processed"]
        trainer.datamodule.resume(checkpoint["epoch"], done)  # type: ignore[attr-defined]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to signals from now on; before, there is nothing to save."""
        for number in EXIT_CODES:
            signal.signal(number, self._receive)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the signals back."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the generators to this batch's own state."""
        number = hash((self.seed, trainer.global_rank, trainer.current_epoch, batch_idx)) & 0x7FFF_FFFF_FFFF_FFFF
        torch.default_generator.manual_seed(number)
        if pl_module.device.type == "cuda":
            torch.cuda.default_generators[pl_module.device.index or 0].manual_seed(number)
        self.rows = getattr(batch, "rows", None)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Stop at a loss that is not a finite number."""
        value = loss.item()
        if not math.isfinite(value):
            raise DivergedError(
                f"the loss is {value} at step {trainer.global_step} (epoch {trainer.current_epoch})",
                because=f"it came from the rows {self._named_rows(trainer)}",
                fix="lower optim.optimizer.lr, or look at these rows; checkpoints/ has the last good state",
            )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a signal, save and stop as soon as no gradient is half collected."""
        if self.received is None:
            return
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if whole:
            trainer.save_checkpoint(self.run.last)
            if trainer.is_global_zero:
                self.run.point_latest()
            raise Interrupted(EXIT_CODES[signal.Signals(self.received)])

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted(EXIT_CODES[signal.Signals(number)])
        self.received = number
        say(f"{signal.Signals(number).name}: saving at the next optimizer step (again to stop at once)")

    def _named_rows(self, trainer: pl.Trainer) -> str:
        rows = getattr(trainer, "datamodule", None)
        if rows is None or self.rows is None:
            return "of this batch"
        return listed([rows.origin("train", row) for row in self.rows])


class RunFiles(pl.Callback):
    """Writes into the run folder what the run is made of, and logs its curve."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the vocabulary, the tokenizer and the manifest."""
        if not trainer.is_global_zero:
            return
        folder, context = self.run.folder, pl_module.context
        write_text(folder / "vocabulary.json", json.dumps(context.vocabulary.as_dict(), ensure_ascii=False, indent=2) + "\n")
        if context.processor is not None:
            context.processor.save_pretrained(str(folder / "tokenizer"))
        facts = manifest(self.run, pl_module, trainer.datamodule.files)  # type: ignore[attr-defined]
        write_text(folder / "manifest.json", json.dumps(facts, indent=2) + "\n")

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Go on in the curve of the run that is resumed."""
        for logger in trainer.loggers:
            if isinstance(logger, CurveLogger):
                logger.resume(trainer.global_step if self.run.resume_from else -1)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the epoch's average so far and the learning rate, at every 50th step."""
        step = trainer.global_step
        if step % LOG_EVERY or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        values = {f"train/{name}": value for name, value in pl_module.averages["train"].compute().items()}
        values["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        for logger in trainer.loggers:
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, step)


class Checkpoints(ModelCheckpoint):
    """Keeps best.ckpt and last.ckpt; `latest` points at the run from its first checkpoint on."""

    def __init__(self, run: Run, monitor: str, mode: str) -> None:
        super().__init__(
            dirpath=run.checkpoints,
            filename="best",
            monitor=monitor,
            mode=mode,
            save_last=True,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self.run = run

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fail now, not after an epoch, when nothing logs the monitored metric."""
        self.monitor = logged_name(self.monitor or "", trainer.callback_metrics)
        for callback in trainer.early_stopping_callbacks:
            callback.monitor = self.monitor  # type: ignore[attr-defined]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, then point `latest` at the run."""
        super().on_validation_end(trainer, pl_module)
        if trainer.is_global_zero and not trainer.sanity_checking and self.run.last.is_file():
            self.run.point_latest()


class Progress(TQDMProgressBar):
    """A bar with the loss and the monitored metric, and one line per epoch that stays; where no one watches, no bar."""

    def __init__(self, monitor: str) -> None:
        super().__init__(refresh_rate=REFRESH_EVERY if sys.stderr.isatty() else 0)
        self.monitor = monitor

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what stands behind the bar."""
        metrics = {name: f"{value:.4g}" for name, value in pl_module.averages["train"].compute().items()}
        best = trainer.callback_metrics.get(self.monitor)
        return metrics if best is None else metrics | {self.monitor: f"{best:.4g}"}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Print the epoch's figures."""
        super().on_train_epoch_end(trainer, pl_module)
        # Lightning asks callbacks before the module, so this epoch's averages of training are not logged yet
        training = {f"train/{name}": value for name, value in pl_module.averages["train"].compute().items()}
        metrics = {**trainer.callback_metrics, **training}
        figures = "  ".join(f"{name} {float(value):.4f}" for name, value in sorted(metrics.items()))
        if trainer.is_global_zero:
            say(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {figures}")


def logged_name(monitor: str, logged: Mapping[str, Any]) -> str:
    """Return the logged metric that `monitor` names; `val/accuracy` also stands for a logged `val_accuracy`.

    Errors: ConfigError when there is none; metrics of training cannot be known before the first epoch.
    """
    if monitor in logged or not logged and monitor.startswith("train"):
        return monitor
    alike = [name for name in logged if name.replace("_", "/") == monitor.replace("_", "/")]
    if alike or monitor.startswith("train"):
        return alike[0] if alike else monitor
    raise ConfigError(
        f"nothing logs the monitored metric {monitor}",
        because=f"validation logs {listed(sorted(logged)) or 'nothing'}",
        fix="set monitor to one of these (and mode to max or min), or log it in validation_step",
        where=Where(key="monitor"),
        code="unknown-monitor",
    )

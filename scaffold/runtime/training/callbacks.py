"""What watches over training: reproducible batches, a finite loss, the files of the run, and the screen."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor, nn

from scaffold.errors import DivergedError, listed
from scaffold.runtime.console import say
from scaffold.runtime.encoders.misfit import warn_of_misfit
from scaffold.runtime.module import BaseModule
from scaffold.runtime.training.loggers import CurveLogger, epoch_line
from scaffold.runtime.training.run import Run
from scaffold.runtime.training.run_files import refuse_other_start, write_run_files
from scaffold.runtime.training.seeding import seed_batch
from scaffold.runtime.training.trial import try_forward

REFRESH_EVERY = 25


class Guard(pl.Callback):
    """Keeps training exact and safe at every batch.

    Randomness depends on (seed, rank, epoch, batch) alone: a resumed run draws what the uninterrupted one would have.
    A loss that is not finite ends the run before it touches the weights (on a GPU one step later), and weights that are
    not are never saved. One callback, because each costs every hook of every batch.
    """

    def __init__(self, run: Run, seed: int) -> None:
        self.run, self.seed = run, seed
        self.rows: Any = None
        self.rows_before: Any = None
        self.seen: _Loss | None = None

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Tell the data where the interrupted epoch stopped."""
        if trainer.state.fn != "fit" or getattr(trainer, "datamodule", None) is None:
            return
        # `processed`, not `completed`: the latter lags by one in what is saved at the end of a batch
        done = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["processed"]
        trainer.datamodule.resume(checkpoint["epoch"], done)  # type: ignore[attr-defined]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Try one batch; a model with a training step of its own, or one that is spread out, is left to itself."""
        data = getattr(trainer, "datamodule", None)
        if data is not None and trainer.world_size == 1 and type(pl_module).training_step is BaseModule.training_step:
            try_forward(pl_module, data.first_batch("validation").to(pl_module.device))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop at a loss of validation that is not finite; this comes before a checkpoint is saved."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._refuse_spoilt(trainer, pl_module)
            refuse_diverged(self.run, trainer.callback_metrics, trainer.current_epoch, trainer.global_step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the last loss, too."""
        self._check(trainer)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Set the generators to this batch's own state."""
        seed_batch(self.seed, trainer.global_rank, trainer.current_epoch, batch_idx, pl_module.device)
        self.rows_before, self.rows = self.rows, getattr(batch, "rows", None)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Stop at a loss that is not a finite number; on a GPU a step later, as looking at once would mean waiting."""
        self._check(trainer)
        self.seen = _Loss(loss, trainer.global_step, trainer.current_epoch, self.rows)
        if not loss.is_cuda:
            self._check(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save nothing that the last batch has spoilt."""
        self._refuse_spoilt(trainer, pl_module)

    def _refuse_spoilt(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._check(trainer)
        if not all_finite(pl_module):
            what = f"the weights are not finite after step {trainer.global_step}"
            raise diverged(self.run, what, _spoilt_by(self.rows, trainer))

    def _check(self, trainer: pl.Trainer) -> None:
        seen, self.seen = self.seen, None
        if seen is None:
            return
        value = seen.value()
        finite = math.isfinite(value)
        if trainer.world_size > 1:  # all processes end together, or the others would wait for this one
            finite = trainer.strategy.reduce_boolean_decision(finite)
        if finite:
            return
        because = f"it came from the rows {_named(seen.rows, trainer)}"
        if seen.arrival is None and not all_finite(trainer.lightning_module):
            because = _spoilt_by(self.rows_before, trainer)
        if math.isfinite(value):
            because = "another process says so; its rows stand in its own message"
        what = f"the loss is not finite at step {seen.step} (epoch {seen.epoch + 1})"
        raise diverged(self.run, what, because, untrained=seen.step == 0)


class _Loss:
    """A batch's loss; one on a GPU is sent for, and read when it has arrived."""

    def __init__(self, loss: Tensor, step: int, epoch: int, rows: Any) -> None:
        self.step, self.epoch, self.rows = step, epoch, rows
        self.number = loss.detach().to("cpu", non_blocking=True) if loss.is_cuda else loss
        self.arrival = torch.cuda.current_stream(loss.device).record_event() if loss.is_cuda else None

    def value(self) -> float:
        if self.arrival is not None:
            self.arrival.synchronize()
        return self.number.item()


def diverged(run: Run, what: str, because: str, *, untrained: bool = False) -> DivergedError:
    """Return the error of a training whose numbers are no longer finite, with the checkpoint that is still good.

    untrained: no step was taken yet, so that no rate can be too high.
    """
    fix = "look at these rows and at forward (make check tries it)" if untrained else "lower optim.optimizer.lr"
    fix += "" if untrained else ", or look at these rows"
    kept = f"{os.path.relpath(run.last)} is still good" if run.last.is_file() else "no checkpoint was saved yet"
    return DivergedError(what, because=because, fix=f"{fix}; {kept}")


def refuse_diverged(run: Run, metrics: Mapping[str, Any], epoch: int, step: int) -> None:
    """Raise DivergedError when a validation, in an epoch counted from 0, logged a loss that is not a finite number."""
    losses = [name for name in metrics if name.startswith("val") and name.endswith("loss")]
    wrong = [name for name in losses if not math.isfinite(metrics[name])]
    if wrong:
        what = f"{wrong[0]} is {float(metrics[wrong[0]])} after step {step} (epoch {epoch + 1})"
        because = "what the model has learnt gives no finite loss on the rows of validation"
        raise diverged(run, what, because)


def all_finite(module: nn.Module) -> bool:
    """Return whether no weight of a module is NaN or infinite."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in module.parameters())


def _spoilt_by(rows: Any, trainer: pl.Trainer) -> str:
    return f"the step before left weights that are not; its gradient came from the rows {_named(rows, trainer)}"


def _named(rows: Any, trainer: pl.Trainer) -> str:
    data = getattr(trainer, "datamodule", None)
    if data is None or rows is None:
        return "of this batch"
    return listed([data.origin("train", row) for row in rows])


class RunFiles(pl.Callback):
    """Writes into the run folder what the run is made of, and logs its curve."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.row: dict[str, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Go on only with the data that the run was started with; this comes before its checkpoint is loaded."""
        if stage == "fit":
            refuse_other_start(self.run, trainer.datamodule)  # type: ignore[attr-defined]
            if trainer.is_global_zero:
                warn_of_misfit(pl_module)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the vocabulary, the tokenizer and the manifest."""
        if trainer.is_global_zero:
            write_run_files(self.run, pl_module, trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Go on in the curve of the run that is resumed."""
        for curve in _curves(trainer):
            curve.resume(self.row)

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the row of the curve that is not written yet."""
        for curve in _curves(trainer):
            checkpoint["curve"] = dict(curve.row)

    def on_load_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Take up that row."""
        self.row = checkpoint.get("curve", {})

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the epoch's average so far and the learning rate, at every step that `log_every_n_steps` divides."""
        step, every = trainer.global_step, trainer.log_every_n_steps  # type: ignore[attr-defined]
        if not every or step % every or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        values = {f"train/{name}": value for name, value in pl_module.averages["train"].compute().items()}
        values["lr"] = trainer.optimizers[0].param_groups[0]["lr"]
        for logger in trainer.loggers:
            logger.log_metrics(values | {"epoch": trainer.current_epoch}, step)


def _curves(trainer: pl.Trainer) -> list[CurveLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, CurveLogger)]


class Progress(TQDMProgressBar):
    """A bar with the loss and the monitored metric, and one line per epoch that stays; where no one watches, no bar."""

    def __init__(self, monitor: str) -> None:
        super().__init__(refresh_rate=REFRESH_EVERY if sys.stdout.isatty() else 0)  # Lightning draws there
        self.monitor = monitor
        self.told = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Tell nothing of an epoch whose steps an earlier process took and told."""
        super().on_train_start(trainer, pl_module)
        self.told = trainer.global_step

    def get_metrics(self, trainer: pl.Trainer, pl_module: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return what stands behind the bar."""
        metrics = {name: f"{value:.4g}" for name, value in pl_module.averages["train"].compute().items()}
        best = trainer.callback_metrics.get(self.monitor)
        return metrics if best is None else metrics | {self.monitor: f"{best:.4g}"}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Print the epoch's figures."""
        super().on_train_epoch_end(trainer, pl_module)
        if trainer.fit_loop.restarted_on_epoch_end:  # the process before this one trained and printed it
            return
        if trainer.global_step == self.told or not trainer.is_global_zero:
            return
        # Lightning asks callbacks before the module, so this epoch's averages of training are not logged yet
        training = {f"train/{name}": value for name, value in pl_module.averages["train"].compute().items()}
        metrics = {**trainer.callback_metrics, **training}
        say(epoch_line(trainer.current_epoch + 1, trainer.max_epochs, metrics))

"""When a run is saved and when it stops: the best and the last checkpoint, patience, and signals."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from scaffold.errors import DivergedError
from scaffold.runtime.console import say
from scaffold.runtime.training.monitor import Selection, logged_name, patience_ended
from scaffold.runtime.training.run import Run
from scaffold.runtime.training.signals import Interrupted, Signals


class Checkpoints(ModelCheckpoint):
    """Keeps best.ckpt and last.ckpt; `latest` points at the run from its first checkpoint on.

    The last one is saved after every validation, and after a signal at the next optimizer step. Lightning asks this
    callback after all others, so that what they counted at that step is saved too.
    """

    state_key = "Checkpoints"  # a name of its own: Lightning's has the metric in it, which is known only later

    def __init__(self, run: Run, selection: Selection) -> None:
        super().__init__(
            dirpath=run.checkpoints,
            filename="best",
            monitor=selection.monitor,
            mode=selection.mode,
            auto_insert_metric_name=False,
            enable_version_counter=False,
            save_on_train_epoch_end=False,
        )
        self.run, self.selection = run, selection
        self.seconds: float | None = None  # in last.ckpt only, so that the best ones of equal runs are equal
        self.signals = Signals(say)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, and how long training has taken; the files are where the run folder is."""
        return {"monitor": self.monitor, "best_model_score": self.best_model_score, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best score so far, and from the time that it took."""
        self.run.clock.go_on(state_dict.get("seconds") or 0.0)
        self.monitor, score = state_dict["monitor"], state_dict["best_model_score"]
        if score is not None:
            self.best_model_path = self.kth_best_model_path = self.format_checkpoint_name({})
            self.best_model_score = self.kth_value = score
            self.best_k_models = {self.best_model_path: score}

    def on_sanity_check_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Fail now, not after an epoch, when nothing logs the monitored metric."""
        self.monitor = logged_name(self.monitor or "", trainer.callback_metrics)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the signals over: from now on there is something to save."""
        self.signals.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a signal, save as soon as no gradient is half collected, and stop.

        Where validation is due, that comes first: Lightning would leave it out when the run goes on.
        """
        whole = (batch_idx + 1) % trainer.accumulate_grad_batches == 0 or trainer.is_last_batch
        if whole and (code := self.signals.exit_code(trainer)):
            self._save_last(trainer)
            every = trainer.val_check_batch or math.inf
            if not trainer.is_last_batch and (batch_idx + 1) % every:
                self._stop(trainer, code)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last state, and the best if it is that; stop after a signal."""
        if self._should_skip_saving_checkpoint(trainer):
            return
        self.monitor = self.selection.monitor  # as it is logged
        super().on_validation_end(trainer, pl_module)
        self._save_last(trainer)
        if code := self.signals.exit_code(trainer):
            self._stop(trainer, code)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Make sure that there is a state to test: without any validation, the last one is the best."""
        if self.monitor in trainer.callback_metrics and not self.best_model_path and not trainer.fast_dev_run:  # type: ignore[attr-defined] # it has
            raise DivergedError(
                f"{self.monitor} was never a finite number",
                because="every validation found it NaN or infinite, so no checkpoint is the best",
                fix="lower optim.optimizer.lr, or look at the rows of validation",
            )
        if not self.best_model_path:
            self._save_last(trainer)
            trainer.save_checkpoint(self.run.best, weights_only=False)
        if code := self.signals.exit_code(trainer):
            self._stop(trainer, code)

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Return whether the validation that has just ended is the best so far."""
        return current is not None and self.selection.is_latest

    def _save_last(self, trainer: pl.Trainer) -> None:
        self.seconds = self.run.clock.seconds
        trainer.save_checkpoint(self.run.last, weights_only=False)
        self.seconds = None
        if trainer.is_global_zero:
            self.run.point_latest()

    def _stop(self, trainer: pl.Trainer, code: int) -> None:
        if trainer.is_global_zero:
            self.run.tell_saved(trainer.global_step)
        raise Interrupted(code)


class Patience(pl.Callback):
    """Counts validations, and stops after so many without a better one; a resumed run goes on counting."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection

    def state_dict(self) -> dict[str, Any]:
        """Return the count, but not the patience: that is the config's, which may change when a run goes on."""
        return self.selection.state()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.selection.restore(state_dict)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Count this validation; Lightning asks whoever saves checkpoints after this."""
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self.selection.count(trainer.callback_metrics, trainer.current_epoch + 1)
            trainer.should_stop = trainer.should_stop or self.selection.is_over

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after the epoch in which patience ended, in a process that went on from there, too."""
        if not self.selection.is_over:
            return
        trainer.should_stop = True
        ended = trainer.current_epoch + 1
        last = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else math.inf
        if trainer.is_global_zero and max(1, trainer.min_epochs or 0) <= ended < last:  # type: ignore[operator]
            say(patience_ended(ended, self.selection.monitor, self.selection.waited))

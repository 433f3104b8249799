"""What a training loop of one's own needs beside itself: the run's batches, its curve, its checkpoints, its metrics."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch

from scaffold.errors import listed
from scaffold.runtime.batch import Batch
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Natural, Positive, read_settings
from scaffold.runtime.console import say
from scaffold.runtime.data import DataModule
from scaffold.runtime.module import BaseModule
from scaffold.runtime.recipe import load_weights
from scaffold.runtime.training import checkpoints
from scaffold.runtime.training.callbacks import LOG_EVERY, all_finite, diverged, refuse_diverged
from scaffold.runtime.training.loggers import CurveLogger
from scaffold.runtime.training.manifest import refuse_other_data, refuse_other_engine
from scaffold.runtime.training.run import Run
from scaffold.runtime.training.run_files import write_run_files
from scaffold.runtime.training.saving import logged_name, patience_ended
from scaffold.runtime.training.seeding import seed_batch
from scaffold.runtime.training.signals import EXIT_CODES, Interrupted, Signals
from scaffold.runtime.training.trainer import monitored
from scaffold.runtime.training.trial import evaluating, try_forward

Limit = Natural | float | None


@dataclass(frozen=True)
class LoopSettings:
    """What of `conf/trainer` a loop without Lightning honours; any other setting is refused."""

    max_epochs: Positive = 1
    accelerator: Literal["auto", "cpu", "gpu", "cuda"] = "auto"
    devices: Literal[1, "auto"] = 1
    precision: Literal["32-true", "32", 32] = "32-true"
    gradient_clip_val: float | None = None
    accumulate_grad_batches: Positive = 1
    limit_train_batches: Limit = 1.0
    limit_val_batches: Limit = 1.0
    limit_test_batches: Limit = 1.0

    @property
    def device(self) -> torch.device:
        """Where the model is trained."""
        on_gpu = self.accelerator in ("gpu", "cuda") or (self.accelerator == "auto" and torch.cuda.is_available())
        return torch.device("cuda" if on_gpu else "cpu")


class RunRecorder:
    """Keeps the run folder of a loop without Lightning: the same files, metrics and exact resume.

    epoch, done: where training is, in whole epochs and in batches of this one; done moves when the next batch is asked
    for. stopped: whether patience has ended.
    """

    def __init__(self, run: Run, module: BaseModule, data: DataModule, engine: str = "torch") -> None:
        self.run, self.module, self.data, self.engine = run, module, data, engine
        self.settings = read_settings(LoopSettings, plain(run.config, "trainer"), "trainer")
        self.device = self.settings.device
        self.monitor, self.mode = monitored(run.config, module)
        self.curve = CurveLogger(run.folder / "metrics.csv")
        self.signals = Signals(say)
        self.epoch = self.done = self.step = self.waited = 0
        self.best: float | None = None
        self._parts: dict[str, Any] = {}
        self._start()

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return _limited(len(self._loader), self.settings.limit_train_batches)

    @property
    def steps(self) -> int:
        """How many optimizer steps the whole training has."""
        return self.settings.max_epochs * math.ceil(self.batches_per_epoch / self.settings.accumulate_grad_batches)

    @property
    def stopped(self) -> bool:
        """Whether there were too many validations without a better one."""
        patience = self.run.config.patience
        return patience is not None and self.waited >= patience

    def resume(self, **parts: Any) -> None:
        """Name what a checkpoint has to keep besides the weights, and go on where an earlier process stopped.

        parts: an optimizer, a schedule: whatever has `state_dict` and `load_state_dict`.
        """
        self._parts = parts
        row = {}
        if self.run.resume_from is not None:
            row = self._restore(checkpoints.load(self.run.resume_from))
        self.curve.resume(row)

    def epochs(self) -> Iterator[int]:
        """Yield the epochs that are still to come; until they end, a signal is noted and training saved."""
        with self.signals.listening():
            while self.epoch < self.settings.max_epochs and not self.stopped:
                yield self.epoch

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of this epoch that are still to come, torch's generators set to each one's own state."""
        for batch in self.stream():
            self.seed()
            yield batch.to(self.device)
            self.advance()

    def stream(self) -> Iterator[Batch]:
        """Yield the same batches as they come from the data."""
        self._loader.sampler.start_at(self.epoch, self.done)  # type: ignore[attr-defined] # a BatchPlan
        return islice(self._loader, self.batches_per_epoch - self.done)

    def seed(self) -> None:
        """Set torch's generators to the state of the batch that is trained on now."""
        seed_batch(self.run.config.seed, 0, self.epoch, self.done, self.device)

    def advance(self) -> None:
        """Go on to the next batch; after a signal, save here and stop."""
        self.done += 1
        if self.signals.received is not None and self.is_whole:
            self.save()
            self.stop()

    @property
    def is_whole(self) -> bool:
        """Whether no gradient is half collected after `done` batches."""
        return self.done % self.settings.accumulate_grad_batches == 0 or self.is_epoch_done

    @property
    def is_epoch_done(self) -> bool:
        """Whether all batches of this epoch have been trained on."""
        return self.done == self.batches_per_epoch

    @property
    def steps_now(self) -> bool:
        """Whether the optimizer steps after the batch that is trained on now."""
        accumulated = (self.done + 1) % self.settings.accumulate_grad_batches == 0
        return accumulated or self.done + 1 == self.batches_per_epoch

    def count(self, output: Any, batch: Batch) -> None:
        """Add a training batch to the averages of its epoch; DivergedError where its loss is not a finite number."""
        if not math.isfinite(output.loss.item()):
            rows = listed(self.data.origin("train", row) for row in batch.rows) if batch.rows is not None else "?"
            what = f"the loss is not finite at step {self.step} (epoch {self.epoch + 1})"
            raise diverged(self.run, what, f"it came from the rows {rows}", untrained=self.step == 0)
        self.module.count_batch(output, batch)

    def log(self, rate: float) -> None:
        """Note an optimizer step; every 50th has a row in the curve."""
        self.step += 1
        if self.step % LOG_EVERY == 0:
            values = {f"train/{name}": value for name, value in self.module.averages["train"].compute().items()}
            self.curve.log_metrics({**values, "lr": rate, "epoch": self.epoch}, self.step)

    def measure(self, stage: Literal["val", "test"]) -> dict[str, float]:
        """Return the metrics of validation or test."""
        loader = self.data.val_dataloader() if stage == "val" else self.data.test_dataloader()
        step = self.module.validation_step if stage == "val" else self.module.test_step
        limit = getattr(self.settings, f"limit_{stage}_batches")
        with evaluating(self.module), torch.inference_mode():
            for number, batch in enumerate(islice(loader, _limited(len(loader), limit))):
                step(batch.to(self.device), number)
            return {name: float(value) for name, value in self.module.stage_results(stage).items()}

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Log an epoch with the metrics of its validation, and save it as the last one and, if it is that, the best."""
        self.close_epoch(metrics)
        self.save()
        if self.signals.received is not None:
            self.stop()

    def close_epoch(self, metrics: Mapping[str, float]) -> None:
        """Log an epoch with the metrics of its validation, and save it if it is the best.

        Errors: DivergedError where the loss of validation is not finite.
        """
        training = self.module.stage_results("train")
        # the step of an epoch's figures is that of its last batch, counted from 0, as Lightning has it
        self.curve.log_metrics({**metrics, "epoch": self.epoch, **training}, self.step - 1)
        figures = "  ".join(f"{name} {value:.4f}" for name, value in sorted({**metrics, **training}.items()))
        say(f"epoch {self.epoch + 1}/{self.settings.max_epochs}  {figures}")
        refuse_diverged(self.run, metrics, self.epoch, self.step)
        self.epoch, self.done = self.epoch + 1, 0
        self.monitor = logged_name(self.monitor, metrics)
        self.waited += 1
        if self._is_best(metrics[self.monitor]):
            self.best, self.waited = metrics[self.monitor], 0
            checkpoints.save(self._state(), self.run.best)
        if self.stopped and self.epoch < self.settings.max_epochs:
            say(patience_ended(self.epoch, self.monitor, self.waited))

    def save(self) -> None:
        """Save all that training needs to go on from here."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        checkpoints.save({**self._state(), "parts": parts}, self.run.last)
        self.run.point_latest()

    def stop(self) -> None:
        """End the process as the signal asked for."""
        say(f'saved at step {self.step}; go on with ARGS="resume={os.path.relpath(self.run.folder)}"')
        raise Interrupted(EXIT_CODES[self.signals.received])  # type: ignore[index]

    def finish(self) -> dict[str, float]:
        """Measure the best weights on the test rows, write metrics.json and return it."""
        load_weights(self.module, checkpoints.load(self.run.trained())["state_dict"], self.run.best)
        found = self.measure("test")
        self.curve.log_metrics({"epoch": self.epoch, **found}, self.step)
        self.curve.finalize("success")
        if self.best is not None:
            found[self.monitor] = self.best
        return self.run.conclude(found, self.epoch)

    def _is_best(self, score: float) -> bool:
        if not math.isfinite(score) or self.best is None:
            return math.isfinite(score)
        return score > self.best if self.mode == "max" else score < self.best

    def _start(self) -> None:
        if self.run.resume_from:
            refuse_other_engine(self.run.folder, self.engine)
            refuse_other_data(self.run.folder, self.data.files)
        self.data.setup("fit")
        self._loader = self.data.train_dataloader()
        self.module.to(self.device)
        try_forward(self.module, self.data.first_batch("validation").to(self.device))
        write_run_files(self.run, self.module, self.data, self.engine)

    def _state(self) -> dict[str, Any]:
        if not all_finite(self.module):
            what = f"the weights are not finite after step {self.step}"
            raise diverged(self.run, what, "the loss before was")
        state: dict[str, Any] = {"state_dict": self.module.state_dict(), "epoch": self.epoch, "global_step": self.step}
        self.module.on_save_checkpoint(state)
        progress = {name: getattr(self, name) for name in ("done", "waited", "best", "monitor")}
        return {**state, "progress": progress, "curve": dict(self.curve.row)}

    def _restore(self, state: Mapping[str, Any]) -> dict[str, Any]:
        load_weights(self.module, state["state_dict"], self.run.last)
        self.module.on_load_checkpoint(dict(state))
        self.epoch, self.step = state["epoch"], state["global_step"]
        for name, value in state["progress"].items():
            setattr(self, name, value)
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        return dict(state["curve"])


def _limited(total: int, limit: Limit) -> int:
    if limit is None:
        return total
    return min(total, limit) if isinstance(limit, int) else int(total * limit)

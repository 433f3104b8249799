"""What a training loop of one's own needs beside itself: the run's batches, its curve, its checkpoints, its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Literal

import torch

from scaffold.errors import listed
from scaffold.runtime.batch import Batch
from scaffold.runtime.console import say
from scaffold.runtime.data import DataModule
from scaffold.runtime.encoders.misfit import warn_of_misfit
from scaffold.runtime.module import BaseModule
from scaffold.runtime.training.callbacks import diverged, refuse_diverged
from scaffold.runtime.training.loggers import epoch_line
from scaffold.runtime.training.loop_files import LoopFiles
from scaffold.runtime.training.loop_settings import limited, loop_settings
from scaffold.runtime.training.monitor import Selection, monitored, patience_ended
from scaffold.runtime.training.position import Position
from scaffold.runtime.training.reports import begun_reports
from scaffold.runtime.training.run import Run
from scaffold.runtime.training.run_files import refuse_other_start, write_run_files
from scaffold.runtime.training.seeding import seed_batch
from scaffold.runtime.training.signals import EXIT_CODES, Interrupted, Signals
from scaffold.runtime.training.trial import evaluating, try_forward


class RunRecorder:
    """Keeps the run folder of a loop without Lightning: the same files, metrics and exact resume.

    position: where training is; it moves when the next batch is asked for. selection: what validation said so far.
    """

    def __init__(self, run: Run, module: BaseModule, data: DataModule, engine: str = "torch") -> None:
        self.run, self.module, self.data = run, module, data
        self.settings = loop_settings(run.config)
        self.device = self.settings.device
        self.selection = Selection(*monitored(run.config, module), run.config.patience)
        self.signals = Signals(say)
        refuse_other_start(run, data, engine)
        warn_of_misfit(module)
        data.setup("fit")
        self._loader = data.train_dataloader()
        self.position = Position(self.settings, limited(len(self._loader), self.settings.limit_train_batches))
        self._files = LoopFiles(run, module, self.position, self.selection)
        self._prepare()
        write_run_files(run, module, data, engine)

    @property
    def steps(self) -> int:
        """How many optimizer steps the whole training has."""
        return self.position.steps

    @property
    def steps_now(self) -> bool:
        """Whether the optimizer steps after the batch that is trained on now."""
        return self.position.steps_now

    @property
    def is_stopped_early(self) -> bool:
        """Whether patience ends the training before its last epoch."""
        return self.selection.is_over and not self.position.is_end

    def resume(self, **parts: Any) -> None:
        """Name what a checkpoint has to keep besides the weights, and go on where an earlier process stopped.

        parts: an optimizer, a schedule: whatever has `state_dict` and `load_state_dict`.
        """
        self._files.resume(parts)

    def epochs(self) -> Iterator[int]:
        """Yield the epochs that are still to come; until they end, a signal is noted and training saved."""
        with self.signals.listening():
            while not (self.position.is_end or self.selection.is_over):
                yield self.position.epoch

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of this epoch that are still to come, torch's generators set to each one's own state.

        After a signal, training is saved and stopped as soon as no gradient is half collected.
        """
        for batch in self.stream():
            self.seed()
            yield batch.to(self.device)
            self.position.done += 1
            if self.signals.received is not None and self.position.is_whole:
                self.save()
                self.stop()

    def stream(self) -> Iterator[Batch]:
        """Yield the same batches as they come from the data."""
        position = self.position
        self._loader.sampler.start_at(position.epoch, position.done)  # type: ignore[attr-defined] # a BatchPlan
        return islice(self._loader, position.batches_now - position.done)

    def seed(self) -> None:
        """Set torch's generators to the state of the batch that is trained on now."""
        seed_batch(self.run.config.seed, 0, self.position.epoch, self.position.done, self.device)

    def count(self, output: Any, batch: Batch) -> None:
        """Add a training batch to the averages of its epoch; DivergedError where its loss is not a finite number."""
        if not math.isfinite(output.loss.item()):
            rows = listed(self.data.origin("train", row) for row in batch.rows) if batch.rows is not None else "?"
            step, epoch = self.position.step, self.position.epoch
            what = f"the loss is not finite at step {step} (epoch {epoch + 1})"
            raise diverged(self.run, what, f"it came from the rows {rows}", untrained=step == 0)
        self.module.count_batch(output, batch)

    def log(self, rate: float) -> None:
        """Note an optimizer step; every one that `log_every_n_steps` divides has a row in the curve."""
        position, every = self.position, self.settings.log_every_n_steps
        position.step += 1
        if every and position.step % every == 0:
            values = {f"train/{name}": value for name, value in self.module.averages["train"].compute().items()}
            self._files.curve.log_metrics({**values, "lr": rate, "epoch": position.epoch}, position.step)

    def measure(self, stage: Literal["val", "test"]) -> dict[str, float]:
        """Return the metrics of validation or test."""
        loader = self.data.val_dataloader() if stage == "val" else self.data.test_dataloader()
        step = self.module.validation_step if stage == "val" else self.module.test_step
        limit = getattr(self.settings, f"limit_{stage}_batches")
        reports = begun_reports(self.run.config, self.module) if stage == "test" else []
        with evaluating(self.module), torch.inference_mode():
            for number, batch in enumerate(islice(loader, limited(len(loader), limit))):
                output = step(batch.to(self.device), number)
                for report in reports:
                    report.add(output, batch)
            for report in reports:
                report.write(self.run.folder, self.data.rows("test"))
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
        training, position = self.module.stage_results("train"), self.position
        # the step of an epoch's figures is that of its last batch, counted from 0, as Lightning has it
        self._files.curve.log_metrics({**metrics, "epoch": position.epoch, **training}, position.step - 1)
        say(epoch_line(position.epoch + 1, self.settings.max_epochs, {**metrics, **training}))
        refuse_diverged(self.run, metrics, position.epoch, position.step)
        position.end_epoch()
        if self.selection.count(metrics, position.epoch):
            self._files.save_best()
        if self.is_stopped_early:
            say(patience_ended(position.epoch, self.selection.monitor, self.selection.waited))

    def save(self) -> None:
        """Save all that training needs to go on from here."""
        self._files.save_last()

    def stop(self) -> None:
        """End the process as the signal asked for."""
        self.run.tell_saved(self.position.step)
        raise Interrupted(EXIT_CODES[self.signals.received])  # type: ignore[index]

    def finish(self) -> dict[str, float]:
        """Measure the best weights on the test rows, write metrics.json and return it."""
        self._files.load_best()
        found = self.measure("test")
        self._files.curve.log_metrics({"epoch": self.position.epoch, **found}, self.position.step)
        self._files.curve.finalize("success")
        return self.run.conclude(
            found, self.selection, epochs=self.position.epoch, stopped_early=self.is_stopped_early, data=self.data
        )

    def _prepare(self) -> None:
        """Put the model where it is trained, in its precision, and try it on one batch."""
        self.module.to(self.device)
        self.module.plain_model.forward = self.settings.forward_of(self.module.plain_model)
        try_forward(self.module, self.data.first_batch("validation").to(self.device))

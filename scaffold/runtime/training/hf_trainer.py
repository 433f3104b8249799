"""transformers' Trainer over the batches, metrics and folder of a run."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from scaffold.errors import EnvironmentFault
from scaffold.runtime.batch import Batch
from scaffold.runtime.data import DataModule
from scaffold.runtime.module import BaseModule
from scaffold.runtime.training.optim import build_optimizer
from scaffold.runtime.training.recorder import RunRecorder
from scaffold.runtime.training.run import Run

logging.getLogger("transformers.trainer_utils").setLevel(logging.ERROR)  # it tells how it sorts checkpoints


class RunTrainer(Trainer):
    """Trains the plain model inside a module; best.ckpt and last.ckpt are written beside transformers' own checkpoints.

    The optimizer, its schedule and `conf/trainer` are those of the other training loops. arguments: further ones of
    `TrainingArguments`.
    """

    def __init__(self, run: Run, module: BaseModule, data: DataModule, **arguments: Any) -> None:
        self.recorder = RunRecorder(run, module, data, engine="hf-trainer")
        optimizers = build_optimizer(module, self.recorder.steps)
        own = TrainingArguments(**{**_arguments(self.recorder), **arguments})
        own._n_gpu = min(own.n_gpu, 1)  # the Trainer would spread each batch over all GPUs of the machine
        super().__init__(model=module.plain_model, args=own, optimizers=optimizers, callbacks=[_Follow(self.recorder)])
        self.remove_callback(PrinterCallback)
        self._folder, self._rows = _Folder(), None
        self.recorder.resume(transformers=self._folder)

    def train(self, **arguments: Any) -> Any:  # type: ignore[override]
        """Train; a run that goes on does so from its own checkpoint."""
        own = self.recorder.run.checkpoints / self._folder.name if self._folder.name else None
        with self.recorder.signals.listening():
            return super().train(**{"resume_from_checkpoint": own and str(own), **arguments})

    def finish(self) -> dict[str, float]:
        """Measure the best weights on the test rows, write metrics.json and return it."""
        return self.recorder.finish()

    def get_train_dataloader(self) -> Any:
        """Return the run's batches."""
        return _Epochs(self.recorder)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Return the metrics of validation, under the names that the Trainer expects."""
        return {f"eval_{name.removeprefix('val/')}": value for name, value in self.recorder.measure("val").items()}

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """Train on a batch, with the generators in its own state."""
        self.recorder.seed()
        # a last window of fewer batches weighs as Lightning has it; the Trainer would divide by the batches in it
        self.current_gradient_accumulation_steps = self.args.gradient_accumulation_steps
        self._rows = getattr(inputs, "rows", None)  # the Trainer passes on tensors only
        loss = super().training_step(model, inputs, num_items_in_batch)
        self.recorder.position.done += 1
        return loss

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Return the loss, and count it towards the epoch's averages."""
        loss, output = super().compute_loss(model, inputs, return_outputs=True)
        self.recorder.count(output, Batch(inputs, rows=self._rows))
        return loss

    def _run_epoch(self, **arguments: Any) -> None:  # type: ignore[override] # it is called with names only
        # of an epoch in which a run goes on, and of one in which max_steps is reached, fewer batches are to come
        left = self.recorder.position.batches_now - self.recorder.position.done
        updates = math.ceil(left / self.args.gradient_accumulation_steps)
        super()._run_epoch(**arguments | {"steps_in_epoch": left, "num_update_steps_per_epoch": updates})

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        self._folder.name = f"checkpoint-{self.state.global_step}"
        self.recorder.save()  # after the folder that it names is whole


class _Follow(TrainerCallback):
    """Tells the run where training is, and the Trainer when to save and to stop."""

    def __init__(self, recorder: RunRecorder) -> None:
        self.recorder = recorder

    def on_step_end(self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **_: Any) -> None:
        """Count an optimizer step; after a signal, save and stop."""
        self.recorder.log(lr_scheduler.get_last_lr()[0])
        if self.recorder.signals.received is not None:
            control.should_save = control.should_training_stop = True

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Validate, and save."""
        if self.recorder.signals.received is None or self.recorder.position.is_epoch_done:
            self.recorder.close_epoch(self.recorder.measure("val"))
            control.should_save = True
            control.should_training_stop = control.should_training_stop or self.recorder.selection.is_over

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """End the process after a signal."""
        if self.recorder.signals.received is not None:
            self.recorder.stop()


class _Folder:
    """Which of transformers' checkpoints belongs to ours."""

    name: str | None = None

    def state_dict(self) -> dict[str, Any]:
        return {"name": self.name}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.name = state["name"]


class _Epochs:
    """The batches of an epoch, as often as they are asked for."""

    def __init__(self, recorder: RunRecorder) -> None:
        self.recorder = recorder

    def __len__(self) -> int:
        return self.recorder.position.batches_per_epoch

    def __iter__(self) -> Iterator[Batch]:
        return self.recorder.stream()


def _arguments(recorder: RunRecorder) -> dict[str, Any]:
    if find_spec("accelerate") is None:
        raise EnvironmentFault(
            "transformers' Trainer needs a package that is not installed",
            because="no module is called accelerate",
            fix="pip install 'scaffold-ml[hf-trainer]'",
            code="environment.package",
        )
    settings = recorder.settings
    return {
        "output_dir": str(recorder.run.checkpoints),
        "num_train_epochs": settings.max_epochs,
        "max_steps": settings.max_steps,
        "gradient_accumulation_steps": settings.accumulate_grad_batches,
        "max_grad_norm": settings.gradient_clip_val or 0.0,
        "seed": recorder.run.config.seed,
        "use_cpu": recorder.device.type == "cpu",
        "save_total_limit": 2,
        "save_strategy": "no",  # after each epoch, when its validation is known
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "ignore_data_skip": True,  # the run's batches begin where it stopped
        "remove_unused_columns": False,
    }

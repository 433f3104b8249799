"""The base Lightning module: steps, logging, optimizers and prediction, all of which a model may override."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from scaffold.errors import ConfigError, Where
from scaffold.runtime.batch import Batch, forward_names
from scaffold.runtime.config.settings import is_plain
from scaffold.runtime.measuring import refuse_several
from scaffold.runtime.recipe import Recipe, load_model
from scaffold.runtime.samples import Sample
from scaffold.runtime.task import Context, Task, uses_score
from scaffold.runtime.training.averages import Averages, number
from scaffold.runtime.training.optim import build_optimizers
from scaffold.runtime.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torchmetrics import MetricCollection


class BaseModule(pl.LightningModule):
    """The training loop's view of a model; a task mixin stands before it in the class's bases.

    A model implements `__init__` and `forward`. `forward` takes the batch's tensors by keyword and returns an output
    with a `loss` when labels are given. Metrics are kept per stage, updated per batch and computed once per epoch.
    """

    accepts_loss_kwargs = False  # transformers' Trainer must average the loss over accumulated batches itself

    def __init__(self, vocabulary: Vocabulary | None = None, optim_conf: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.optim_conf = dict(optim_conf or {})
        self.recipe: Recipe | None = None
        self.averages = {stage: Averages() for stage in ("train", "val", "test")}
        self.stage_metrics = nn.ModuleDict()

    # What a model may override

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch and count it towards the epoch's average."""
        output = self(**batch)
        self.count_batch(output, batch)
        return output.loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the metrics of validation."""
        self._measure("val", batch)

    def test_step(self, batch: Batch, batch_idx: int) -> Any:
        """Add a batch to the metrics of the test; callbacks get the output."""
        return self._measure("test", batch)

    def predict_step(self, batch: Batch, batch_idx: int) -> list[tuple[Sample, Any]]:
        """Return the samples of a batch, each with its prediction."""
        return list(self.batch_predict(**batch.with_samples()))

    def infer(self, batch: Batch) -> Any:
        """Run the model without labels; a generator or an embedder does more here than in `forward`."""
        return self(**batch)

    def batch_predict(self, **batch: Any) -> Iterator[tuple[Sample, Any]]:
        """Yield each sample of a batch with its prediction, in order.

        batch: the tensors that `forward` takes, `samples`, `owners` where a row became several features, and `features`
        where the task keeps some of them for `decode`.
        """
        samples, owners, features = batch.pop("samples"), batch.pop("owners", None), batch.pop("features", ())
        if "samples" in forward_names(type(self)):
            batch["samples"] = samples
        inputs = Batch(batch, samples, owners, features=features)
        with torch.no_grad():
            predictions = self._task.decode(self.infer(inputs), inputs, self.context)
        yield from zip(samples, predictions, strict=True)

    def configure_optimizers(self) -> Any:
        """Build the optimizer and its schedule from `optim_conf`."""
        if not self.optim_conf:
            name = type(self).__name__
            raise ConfigError(
                f"{name} has no optim_conf",
                because="its constructor did not hand it on, or conf/model does not name it",
                fix="call super().__init__(vocabulary=vocabulary, optim_conf=optim_conf), with optim_conf: ${optim}",
                where=Where(key="model.optim_conf"),
            )
        return build_optimizers(self.optim_conf, self)

    # What the runtime calls

    def bind(self, recipe: Recipe) -> None:
        """Tie the model to its recipe; `build` and `load_model` do this."""
        self.recipe = recipe
        for stage in ("val", "test"):
            self.stage_metrics[stage] = self._task.build_metrics(recipe.context)

    @property
    def context(self) -> Context:
        """What the model knows of its data."""
        if self.recipe is None:
            raise ConfigError(
                f"{type(self).__name__} has no context yet",
                because="it was made by calling the class, so it knows neither its options nor its vocabulary",
                fix="make it with scaffold.runtime.build(config, context, backbone) or load_model(path)",
            )
        return self.recipe.context

    def count_batch(self, output: Any, batch: Batch) -> None:
        """Add a training batch to the averages of its epoch."""
        items = number(self._task.num_items(batch))
        loss = number(output.loss) * items
        self.averages["train"].add(items, {"loss": loss} | self._task.tally(output, batch, self.context))

    def stage_results(self, stage: str, reduce: Callable[[Tensor], Tensor] = lambda sums: sums) -> dict[str, Any]:
        """Return the averages and metrics of a stage, as `val/loss` and the like, and begin it anew.

        reduce: adds the sums of other processes.
        """
        averages = self.averages[stage].compute(reduce)
        self.averages[stage].reset()
        return {f"{stage}/{name}": value for name, value in {**averages, **self._computed(stage)}.items()}

    @property
    def plain_model(self) -> nn.Module:
        """The module whose `forward` takes the batch: the model itself, or the plain one inside it."""
        return self

    @classmethod
    def restored_arguments(cls, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments with which a saved model is made again, before it gets its weights."""
        return dict(arguments)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, map_location: Any = "cpu", **_: Any) -> Self:  # type: ignore[override]
        """Load a model from a checkpoint alone; neither its config nor a network is needed."""
        return load_model(checkpoint_path, map_location, [cls.__module__.partition(".")[0]])  # type: ignore[return-value]

    def on_train_epoch_start(self) -> None:
        """Start the averages of an epoch; Lightning leaves this out when it goes on within one."""
        self.averages["train"].reset()

    def on_train_epoch_end(self) -> None:
        """Log the averages of the epoch's training batches."""
        self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of validation."""
        self._log("val")

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test."""
        self._log("test")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe, and leave out hyperparameters that are not plain data: they could not be loaded safely."""
        if self.recipe is not None:
            checkpoint["scaffold"] = self.recipe.state() | {"averages": self.averages["train"].state()}
        parameters = checkpoint.get("hyper_parameters", {})
        checkpoint["hyper_parameters"] = {key: value for key, value in parameters.items() if is_plain(value)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the averages of an epoch that was not finished."""
        if "scaffold" in checkpoint:
            self.averages["train"].restore(checkpoint["scaffold"]["averages"])

    def __setattr__(self, name: str, value: Any) -> None:
        # Lightning notes 48 times a step which hook runs, and a module's own way to set an attribute takes 2 µs
        if name == "_current_fx_name":
            self.__dict__[name] = value
        else:
            super().__setattr__(name, value)

    @property
    def _task(self) -> type[Task]:
        return type(self)  # type: ignore[return-value]

    def _measure(self, stage: str, batch: Batch) -> Any:
        output, metrics = self(**batch), self._metrics(stage)
        items = number(self._task.num_items(batch))
        self.averages[stage].add(items, {"loss": number(output.loss) * items})
        self._task.update_metrics(metrics, output, batch, self.context)
        if uses_score(type(self)):
            part = self._task.to_score(batch, self.context, "validation" if stage == "val" else "test")
            self._score(metrics, part, output if part is batch else None)
        return output

    def _score(self, metrics: MetricCollection, batch: Batch, output: Any) -> None:
        if not batch.samples:
            return
        if output is None or type(self).infer is not BaseModule.infer:  # else the pass was this one
            output = self.infer(batch)
        predictions = self._task.decode(output, batch, self.context)
        self._task.score(metrics, batch.samples, predictions)

    def _metrics(self, stage: str) -> MetricCollection:
        return self.stage_metrics[stage]  # type: ignore[return-value]

    def _computed(self, stage: str) -> dict[str, Tensor]:
        if stage not in self.stage_metrics:
            return {}
        metrics = self._metrics(stage)
        used = any(metric.update_called for metric in metrics.values())
        values = metrics.compute() if used else {}
        refuse_several(values)
        metrics.reset()
        return values

    def _log(self, stage: str) -> None:
        values = self.stage_results(stage, self._sum_over_processes)
        self.log_dict(values, sync_dist=True)  # all processes have the same ones already; Lightning cannot know

    def _sum_over_processes(self, sums: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return sums
        return self.trainer.strategy.reduce(sums.to(self.device), reduce_op="sum").cpu()  # type: ignore[union-attr]

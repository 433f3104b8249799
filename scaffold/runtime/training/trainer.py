"""The Trainer of a run: Lightning's own, with what every run of ours needs."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import lightning.pytorch as pl
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.profilers import PassThroughProfiler

from scaffold.errors import ConfigError, Where
from scaffold.runtime.config.objects import instantiate, plain
from scaffold.runtime.training.callbacks import Guard, Progress, RunFiles
from scaffold.runtime.training.checkpoint_io import DurableCheckpointIO
from scaffold.runtime.training.loggers import build_loggers
from scaffold.runtime.training.monitor import Selection, monitored
from scaffold.runtime.training.run import Run
from scaffold.runtime.training.saving import Checkpoints, Patience

TAKEN = {"logger": "logger", "default_root_dir": "run_dir", "use_distributed_sampler": ""}
NOISE = (
    "lightning.pytorch.utilities.rank_zero",
    "lightning.fabric.utilities.seed",
    "lightning.pytorch.accelerators.cuda",
    "lightning.pytorch.trainer.connectors.checkpoint_connector",
    "lightning.pytorch.trainer.connectors.signal_connector",
)


def build_trainer(run: Run, model: pl.LightningModule) -> pl.Trainer:
    """Return the Trainer of `config.trainer`, with checkpoints, early stopping, loggers and the guards of a run.

    Errors: ConfigError for an argument that Lightning's Trainer does not have, or a value that it refuses.
    """
    arguments = plain(run.config, "trainer")
    _refuse_taken(arguments)
    arguments = {name: _built(value, f"trainer.{name}") for name, value in arguments.items()}
    own, plugins, compiled = (arguments.pop(name, None) for name in ("callbacks", "plugins", "compile"))
    quiet()
    _keep_signature(type(model).training_step)
    if compiled:
        model.compile(dynamic=True)
    callbacks = [*standard_callbacks(run, model, arguments.get("enable_progress_bar", True)), *(own or [])]
    loggers = build_loggers(run.config.logger, run.folder)
    with refusals_named():
        return pl.Trainer(
            **{"enable_model_summary": False, "num_sanity_val_steps": 1, "profiler": Unprofiled(), **arguments},
            default_root_dir=run.folder,
            logger=loggers,
            callbacks=callbacks,
            plugins=[DurableCheckpointIO(), *(plugins or [])],
            use_distributed_sampler=False,  # the sampler knows its rank
        )


def _keep_signature(step: Any) -> None:
    # Lightning asks for it at every step; to work it out each time takes longer than to move the batch
    if inspect.isfunction(step):
        step.__signature__ = inspect.signature(step)  # type: ignore[attr-defined]


def _built(value: Any, key: str) -> Any:
    if isinstance(value, list):
        return [_built(item, key) for item in value]
    return instantiate(value, key) if isinstance(value, dict) and "_target_" in value else value


def _refuse_taken(arguments: Mapping[str, Any]) -> None:
    for name, setting in TAKEN.items():
        if name in arguments:
            raise ConfigError(
                f"trainer.{name} is not a setting here",
                because="the run sets it",
                fix=f"use {setting} in conf/train.yaml" if setting else "leave it out",
                where=Where(key=f"trainer.{name}"),
            )


@contextmanager
def refusals_named() -> Iterator[None]:
    """Turn what Lightning's Trainer says of its arguments into a ConfigError."""
    try:
        yield
    except (MisconfigurationException, TypeError, ValueError) as error:
        raise ConfigError(
            "Lightning's Trainer refuses a setting",
            because=" ".join(str(error).split()),
            fix="correct it in conf/trainer, or on the command line",
            where=Where(key="trainer"),
            code="config.value",
        ) from error


def standard_callbacks(run: Run, model: Any, bar: bool = True) -> list[pl.Callback]:
    """Return the callbacks of every run."""
    selection = Selection(*monitored(run.config, model), run.config.patience)
    callbacks: list[pl.Callback] = [Guard(run, run.config.seed), RunFiles(run)]
    if bar:
        callbacks.append(Progress(selection.monitor))
    return [*callbacks, Patience(selection), Checkpoints(run, selection)]


def quiet_trainer(**arguments: Any) -> pl.Trainer:
    """Return a Trainer that only runs a model over rows: no files, no bar."""
    quiet()
    defaults: Mapping[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(**{**defaults, "enable_model_summary": False, "use_distributed_sampler": False, **arguments})


class Unprofiled(PassThroughProfiler):
    """Measures nothing, at no cost: Lightning asks a profiler 50 times a step, and its default takes 2 µs each time."""

    _nothing = nullcontext()

    def profile(self, action_name: str) -> Any:  # type: ignore[override]
        """Return a context that does nothing."""
        return self._nothing


def quiet() -> None:
    """Leave out what Lightning says on every run and nobody can act on."""
    for name in NOISE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*num_workers.*bottleneck.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", message=".*recommended to use .*sync_dist=True.*")  # they are summed already
    # a batch may hold its samples, too; the size that Lightning then finds is that of the first tensor, which is right
    warnings.filterwarnings("ignore", message="Trying to infer the `batch_size` from an ambiguous collection.*")

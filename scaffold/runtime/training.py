"""The Trainer of a run: Lightning's own, with what every run of ours needs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from omegaconf import DictConfig

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime.callbacks import Checkpoints, Guard, Progress, RunFiles
from scaffold.runtime.checkpoint_io import DurableCheckpointIO
from scaffold.runtime.configs import check_arguments, instantiate, plain
from scaffold.runtime.loggers import build_loggers
from scaffold.runtime.run import Run

OURS = ("callbacks", "compile")
NOISE = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed", "lightning.pytorch.accelerators.cuda")


def build_trainer(run: Run, model: pl.LightningModule) -> pl.Trainer:
    """Return the Trainer of `config.trainer`, with checkpoints, early stopping, loggers and the guards of a run.

    Errors: ConfigError for an argument that Lightning's Trainer does not have.
    """
    arguments = plain(run.config, "trainer")
    extra = {name: arguments.pop(name, None) for name in OURS}
    check_arguments(pl.Trainer, list(arguments), "trainer")
    quiet()
    if extra["compile"]:
        model.compile(dynamic=True)
    return pl.Trainer(
        **{"enable_model_summary": False, "num_sanity_val_steps": 1, **arguments},
        default_root_dir=run.folder,
        logger=build_loggers(run.config.logger, run.folder),
        callbacks=[*standard_callbacks(run, model), *(instantiate(item) for item in extra["callbacks"] or [])],
        plugins=[DurableCheckpointIO()],
        use_distributed_sampler=False,  # the sampler knows its rank
    )


def standard_callbacks(run: Run, model: Any) -> list[pl.Callback]:
    """Return the callbacks of every run."""
    monitor, mode = monitored(run.config, model)
    callbacks: list[pl.Callback] = [Guard(run, run.config.seed), RunFiles(run), *([Progress(monitor)] if run.config.trainer.get("enable_progress_bar", True) else [])]
    if run.config.patience is not None:
        callbacks.append(EarlyStopping(monitor, mode=mode, patience=run.config.patience))
    return [*callbacks, Checkpoints(run, monitor, mode)]


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
    mode = config.mode or (mode if chosen == name else "min")
    if mode not in ("max", "min"):
        raise ConfigError(
            f"Expected mode to be max or min, got {shown(mode)}",
            fix="set mode=max or mode=min",
            where=Where(key="mode"),
        )
    return chosen, mode


def quiet_trainer(**arguments: Any) -> pl.Trainer:
    """Return a Trainer that only runs a model over rows: no files, no bar."""
    quiet()
    defaults: Mapping[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(**{**defaults, "enable_model_summary": False, "use_distributed_sampler": False, **arguments})


def quiet() -> None:
    """Leave out what Lightning says on every run and nobody can act on."""
    for name in NOISE:
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*num_workers.*bottleneck.*")
    warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists and is not empty.*")
    warnings.filterwarnings("ignore", message="The number of training batches .* is smaller than the logging interval.*")
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
    # a batch may hold its samples, too; the size that Lightning then finds is that of the first tensor, which is right
    warnings.filterwarnings("ignore", message="Trying to infer the `batch_size` from an ambiguous collection.*")

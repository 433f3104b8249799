"""The folder of a run: what it was started with, what it found, and its checkpoints."""

from __future__ import annotations

import atexit
import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.utilities.rank_zero import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from scaffold.errors import ConfigError, EnvironmentFault, RefusedError, Where, nearest
from scaffold.runtime.config.objects import trust
from scaffold.runtime.config.run_settings import check_run, typed_overrides
from scaffold.runtime.config.secrets import hide_environment
from scaffold.runtime.config.unread import refuse_unread
from scaffold.runtime.console import print_metrics, say
from scaffold.runtime.files import write_text
from scaffold.runtime.training.clock import Clock
from scaffold.runtime.training.monitor import Selection
from scaffold.runtime.training.sweep import note

if TYPE_CHECKING:
    from scaffold.runtime.data import DataModule

FINAL_METRICS = "metrics.json"
DIGITS = 7  # what a 32-bit float holds
MAY_CHANGE = ("trainer", "logger", "patience", "data.num_workers", "data.path")  # of a run that goes on
log = logging.getLogger(__name__)

LATEST = "latest"
RUN_DIR_VARIABLE = "SCAFFOLD_RUN_DIR"  # hands the folder to the processes that Lightning starts for other devices


@dataclass(frozen=True)
class Run:
    """One training run: its folder, the config it runs with, and where it goes on from."""

    folder: Path
    config: DictConfig
    resume_from: Path | None = None
    clock: Clock = field(default_factory=Clock)

    @classmethod
    def start(cls, config: DictConfig) -> Self:
        """Make the run folder and seed every generator; with `resume`, open an earlier run with its own config.

        Errors: ConfigError for settings that no run can have; RefusedError when the folder exists, and when a run
        cannot go on: there is no checkpoint, it has reached its end, or the command line asks for another run.
        """
        trust(config.get("allow") or [])
        hide_environment(OmegaConf.to_container(config, resolve=False))
        refuse_unread(config, typed_overrides())
        check_run(config)
        run = cls._resumed(config) if config.get("resume") else cls._new(config)
        if _is_first_process():
            _begin_job()
            (run.folder / FINAL_METRICS).unlink(missing_ok=True)  # who has it is finished
            write_text(run.folder / "config.yaml", OmegaConf.to_yaml(_without(run.config, "resume"), resolve=False))
        pl.seed_everything(run.config.seed, verbose=False)
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Open a run that was trained, for evaluation and prediction."""
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            raise RefusedError(
                f"there is no run in {folder}",
                because=_why_no_run(folder),
                fix=_meant(folder) or "train first (make train), or name a run folder, such as runs/latest",
                where=Where(file=str(folder)),
                code="refused.no-run",
            )
        config = DictConfig(OmegaConf.load(folder / "config.yaml"))
        hide_environment(OmegaConf.to_container(config, resolve=False))
        trust(config.get("allow") or [])
        return cls(folder.resolve(), config)

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """The checkpoint with the best monitored metric."""
        return self.checkpoints / "best.ckpt"

    @property
    def last(self) -> Path:
        """The newest checkpoint, from which a run goes on."""
        return self.checkpoints / "last.ckpt"

    def trained(self) -> Path:
        """Return the checkpoint to evaluate and predict with."""
        if self.best.is_file():
            return self.best
        if self.last.is_file():
            say(f"there is no {os.path.relpath(self.best)}: using last.ckpt, which need not be the best")
            return self.last
        raise RefusedError(
            f"the run in {self.folder} has no checkpoint yet",
            because="it stopped before its first validation ended",
            fix="train again (make train), or name another run: RUN=runs/…",
            where=Where(file=str(self.checkpoints)),
            code="refused.no-checkpoint",
        )

    def newest(self) -> Path:
        """Return the checkpoint to go on from."""
        if self.last.is_file():
            return self.last
        if self.best.is_file():
            say(f"there is no {os.path.relpath(self.last)}: going on from best.ckpt, which may be older")
            return self.best
        raise RefusedError(
            f"the run in {self.folder} cannot go on",
            because="it has no checkpoint: it stopped before its first validation ended, or they were removed",
            fix="start again: make train",
            where=Where(file=str(self.last)),
            code="refused.nothing-to-resume",
        )

    def point_latest(self) -> None:
        """Let `latest`, beside the run folder, point at this run."""
        link, draft = self.folder.parent / LATEST, self.folder.parent / f".{LATEST}-{os.getpid()}"
        if link.is_symlink() and link.resolve() == self.folder:
            return
        if link.exists() and not link.is_symlink():
            _tell_unlinked(link, "a file or folder of that name is there")
            return
        try:
            draft.unlink(missing_ok=True)
            draft.symlink_to(self.folder.name, target_is_directory=True)
            draft.replace(link)
        except OSError as fault:  # a file system without links must not end a run
            draft.unlink(missing_ok=True)
            _tell_unlinked(link, fault.strerror or str(fault))

    def tell_saved(self, step: int) -> None:
        """Say how to go on with a run that a signal stopped."""
        say(f'saved at step {step}; go on with ARGS="resume={os.path.relpath(self.folder)}"')

    def finish(self, trainer: pl.Trainer) -> dict[str, float]:
        """Write the final metrics to metrics.json and return them."""
        is_last = trainer.current_epoch == trainer.max_epochs or trainer.global_step == trainer.max_steps
        return self.conclude(
            {name: float(value) for name, value in trainer.callback_metrics.items()},
            trainer.checkpoint_callback.selection,  # type: ignore[union-attr]
            epochs=trainer.current_epoch,
            stopped_early=trainer.should_stop and not is_last,
            data=trainer.datamodule,  # type: ignore[attr-defined]
            first=trainer.is_global_zero,
        )

    def conclude(
        self,
        found: Mapping[str, float],
        selection: Selection,
        *,
        epochs: int,
        stopped_early: bool,
        data: DataModule,
        first: bool = True,
    ) -> dict[str, float]:
        """Write the final metrics, with how training and its rows fared, and return them.

        first: whether this process is the first of several, which is the one that writes.
        """
        metrics = {
            **{name: round(value, DIGITS) for name, value in {**found, **selection.figures}.items()},
            "rows/cut": data.cut,
            "rows/skipped": sum(map(len, data.left_out.values())),
            "train/epochs": epochs,
            "train/seconds": round(self.clock.seconds, 3),
            "train/stopped_early": stopped_early,
        }
        if first:
            self.write_metrics(metrics)
            print_metrics(metrics)
            say(f"the run is in {os.path.relpath(self.folder)}")
            _end_job(selection, os.path.relpath(self.folder))
        return metrics

    def write_metrics(self, metrics: Mapping[str, float], name: str = FINAL_METRICS) -> None:
        """Write metrics as JSON into the run folder; null where there is no number, as in a constant's correlation."""
        numbers = {key: value if math.isfinite(value) else None for key, value in sorted(metrics.items())}
        write_text(self.folder / name, json.dumps(numbers, indent=2) + "\n")

    @classmethod
    def _new(cls, config: DictConfig) -> Self:
        if _is_first_process():
            # not from the environment: an earlier run of this process, as in a sweep, has left its own there
            folder = _make_folder(Path(config.run_dir).absolute(), timed=_is_timed(config))
            os.environ[RUN_DIR_VARIABLE] = str(folder)
            atexit.register(_discard_unused, folder)
            return cls(folder, config)
        folder = Path(os.environ.get(RUN_DIR_VARIABLE) or config.run_dir).absolute()
        if RUN_DIR_VARIABLE not in os.environ and _is_timed(config):
            raise ConfigError(
                "several processes need one run folder",
                because="each of them would name it by its own clock",
                fix="give it a name: run_dir=runs/NAME",
                where=Where(key="run_dir"),
            )
        return cls(folder, config)

    @classmethod
    def _resumed(cls, config: DictConfig) -> Self:
        run = cls.open(config.resume)
        checkpoint = run.newest()
        merged = _with_overrides(run.config, config)
        check_run(merged)
        _refuse_finished(run, merged)
        return cls(run.folder, merged, resume_from=checkpoint)


@cache
def _tell_unlinked(link: Path, because: str) -> None:
    """Say, once in a process, that there is no link to the newest run."""
    log.warning("%s does not point at this run: %s", link, because)


def _why_no_run(folder: Path) -> str:
    if folder.is_dir():
        return "it has no config.yaml"
    if folder.is_symlink():
        return f"it points at {folder.readlink()}, which is gone"
    return "the folder does not exist"


def _meant(folder: Path) -> str:
    """Return which run was probably meant: the one of that name in `runs/`, or one with a name like it beside it."""
    near = nearest(folder.name, (path.parent.name for path in folder.parent.glob("*/config.yaml")))
    places = [Path("runs") / folder, *([folder.parent / near] if near else [])]
    found = next((place for place in places if (place / "config.yaml").is_file()), None)
    return f"did you mean {found}?" if found else ""


def _begin_job() -> None:
    """Say which job of a sweep begins, and remove Hydra's own file on it, which keeps all that was typed."""
    if _is_in_sweep():
        job, folder = HydraConfig.get().job, HydraConfig.get().sweep.dir
        say(f"job {job.num + 1}: {job.override_dirname}")
        Path(folder, "multirun.yaml").unlink(missing_ok=True)


def _end_job(selection: Selection, folder: str) -> None:
    """Note the result of a job of a sweep, for the table at its end."""
    if _is_in_sweep():
        note(HydraConfig.get().job.override_dirname, selection, folder)


def _is_in_sweep() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def _discard_unused(folder: Path) -> None:
    """Remove the folder of a run that failed before anything was found out."""
    if folder.is_dir() and [path.name for path in folder.iterdir()] == ["config.yaml"]:
        (folder / "config.yaml").unlink()
        folder.rmdir()


def _is_first_process() -> bool:
    rank: int = rank_zero_only.rank  # type: ignore[attr-defined] # Lightning sets it from the launcher's variables
    return rank == 0


def _make_folder(folder: Path, *, timed: bool) -> Path:
    """Make a new folder and return it; one that is named by the clock gets a number where the name is taken."""
    if folder.name == LATEST:
        raise ConfigError(
            f"a run folder cannot be called {LATEST}",
            because="that is the link to the newest run",
            fix="give another run_dir",
            where=Where(key="run_dir"),
        )
    if _is_made(folder):
        return folder
    if not timed:
        raise _taken(folder)
    return next(other for number in count(2) if _is_made(other := folder.with_name(f"{folder.name}-{number}")))


def _is_made(folder: Path) -> bool:
    """Make a folder, and return whether it is new."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        return False
    except OSError as fault:
        raise EnvironmentFault(
            f"cannot make the run folder {folder}",
            because=fault.strerror or str(fault),
            fix="give a run_dir where you may write",
            where=Where(key="run_dir"),
        ) from None
    return True


def _taken(folder: Path) -> RefusedError:
    has_checkpoint = (folder / "checkpoints" / "last.ckpt").is_file()
    return RefusedError(
        f"the run folder {folder} exists already",
        because="a run keeps its folder to itself",
        fix="give another run_dir" + f", or go on with it: resume={folder}" * has_checkpoint,
        where=Where(key="run_dir"),
        code="refused.run-exists",
    )


def _is_timed(config: DictConfig) -> bool:
    raw = OmegaConf.to_container(config, resolve=False)
    return isinstance(raw, dict) and "${now:" in str(raw.get("run_dir"))


def _without(config: DictConfig, key: str) -> DictConfig:
    copy = config.copy()
    OmegaConf.set_struct(copy, False)
    copy[key] = None
    return copy


def _with_overrides(saved: DictConfig, composed: DictConfig) -> DictConfig:
    """Return the saved config with what this command line names; RefusedError where that would make another run."""
    merged = saved.copy()
    values = OmegaConf.to_container(composed, resolve=False)  # unresolved: what comes from the environment stays there
    before = OmegaConf.to_container(saved, resolve=False)
    for override in typed_overrides():
        key = override.lstrip("+~").partition("=")[0]
        if key == "resume":
            continue
        value, was = _at(values, key), _at(before, key)
        is_group = isinstance(value, dict) and "." not in key
        if is_group or (value != was and not _may_change(key)):
            raise RefusedError(
                f"a resumed run keeps its {key}",
                because="its checkpoint belongs to the config it was started with",
                fix=f"leave {override} out, or start a new run",
                where=Where(key=key),
                code="refused.resume-changed",
            )
        OmegaConf.update(merged, key, value, force_add=True, merge=False)
    return merged


def _at(tree: Any, key: str) -> Any:
    """Return what stands below a dotted key; an empty dict, as for a group, where nothing does."""
    for part in key.split("."):
        tree = tree.get(part, {}) if isinstance(tree, dict) else {}
    return tree


def _may_change(key: str) -> bool:
    return any(key == free or key.startswith(f"{free}.") for free in MAY_CHANGE)


def _refuse_finished(run: Run, config: DictConfig) -> None:
    """Raise RefusedError when a run has reached its end and the config sets no later one."""
    if not (run.folder / FINAL_METRICS).is_file():
        return
    epochs = json.loads((run.folder / FINAL_METRICS).read_text(encoding="utf-8"))["train/epochs"]
    key = _ended_by(run.config, epochs)
    now = OmegaConf.select(config, key)
    no_later = key == "trainer.max_epochs" and 0 <= (now or -1) <= epochs
    if now != OmegaConf.select(run.config, key) and not no_later:
        return
    raise RefusedError(
        f"the run in {run.folder} is finished",
        because=f"it stopped after epoch {epochs:.0f}, as {key}={OmegaConf.select(run.config, key)} says",
        fix=f"let it train longer: {key}=…; or measure it: make evaluate",
        where=Where(file=str(run.folder)),
        code="refused.run-finished",
    )


def _ended_by(config: DictConfig, epochs: float) -> str:
    """Return the key of the setting that ended a run after so many epochs."""
    for key in ("max_steps", "max_time"):
        if config.trainer.get(key) not in (None, -1):
            return f"trainer.{key}"
    return "patience" if epochs < (config.trainer.get("max_epochs") or -1) else "trainer.max_epochs"

"""What a run was made of, for whoever wants to repeat it."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from omegaconf import DictConfig, OmegaConf

import scaffold
from scaffold.errors import RefusedError, Where, listed
from scaffold.runtime.files import checksum
from scaffold.runtime.training.run import Run

log = logging.getLogger(__name__)

PACKAGES = ("torch", "lightning", "transformers", "torchmetrics", "hydra-core", "tokenizers", "numpy")


def manifest(run: Run, model: pl.LightningModule, files: dict[str, list[Path]], engine: str) -> dict[str, Any]:
    """Return versions, command, seed, commit, data checksums, parameter counts and hardware.

    A run that goes on keeps what it was started with, and adds how it went on to `resumed`.
    """
    facts = _circumstances()
    if run.resume_from and (known := written(run.folder)):
        return known | {"resumed": [*known.get("resumed", []), facts]}
    parameters = list(model.parameters())
    return facts | {
        "seed": run.config.seed,
        "engine": engine,
        "data": data_checksums(files),
        "parameters": {
            "total": sum(parameter.numel() for parameter in parameters),
            "trainable": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        },
    }


def written(folder: Path) -> dict[str, Any]:
    """Return the manifest in a run folder; nothing where there is none."""
    path = folder / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _circumstances() -> dict[str, Any]:
    return {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "project": project_facts(Path.cwd()) | git_state(Path.cwd()),
        "versions": {"python": platform.python_version(), "scaffold-ml": scaffold.__version__} | _versions(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
    }


def data_checksums(files: dict[str, list[Path]]) -> dict[str, dict[str, str]]:
    """Return the sha256 of every data file, by split; of a folder, that of its files' names and sizes."""
    return {split: {str(path): checksum(path) for path in paths} for split, paths in files.items()}


def refuse_other_data(folder: Path, files: dict[str, list[Path]]) -> None:
    """Raise RefusedError when the data are no longer those a run was started with; where they lie does not matter."""
    known = written(folder).get("data", {})
    for split, checksums in data_checksums(files).items() if known else ():
        before = known.get(split, {})
        changed = [file for file, checksum in checksums.items() if checksum not in before.values()]
        if changed or len(checksums) != len(before):
            raise RefusedError(
                "the data have changed since the run was started",
                because=f"for {split} it used {listed(before) or 'no file'}, with the checksums in its manifest.json",
                fix="put the old file back, or start a new run",
                where=Where(file=changed[0] if changed else None, key=None if changed else f"data.path.{split}"),
                code="refused.resume-changed",
            )


def refuse_rows_of_training(folder: Path, files: dict[str, list[Path]]) -> None:
    """Raise RefusedError when a test split that is taken out of the training rows may hold some of those trained on.

    It is the same split only of the same files. Test files of their own that have changed are named in a warning.
    """
    known, now = written(folder).get("data", {}), data_checksums(_of_test(files))
    if not known:
        return
    if "test" in files:
        _warn_of_changed(known.get("test", {}), now["test"])
        return
    same_splits = known.keys() == files.keys()
    if same_splits and list(known["train"].values()) == list(now["train"].values()):
        return
    changed = [file for file, checksum in now["train"].items() if checksum not in known.get("train", {}).values()]
    splits = "" if same_splits else f"; there were files for {listed(known)}, now there are some for {listed(files)}"
    raise RefusedError(
        "the data have changed: the test rows of today may be rows that the run was trained on",
        because=f"there is no test file, so they are taken out of the training rows{splits}",
        fix="name the rows to measure it on: make evaluate DATA=…; or put the old file back",
        where=Where(file=changed[0] if changed else None, key=None if changed else "data.path"),
        code="refused.data-changed",
    )


def _of_test(files: dict[str, list[Path]]) -> dict[str, list[Path]]:
    split = "test" if "test" in files else "train"
    return {split: files.get(split, [])}


def _warn_of_changed(before: dict[str, str], now: dict[str, str]) -> None:
    changed = [file for file, checksum in now.items() if checksum not in before.values()]
    if changed:
        log.warning("test: %s is not the file that the run was trained beside: it has changed since", listed(changed))


def refuse_other_engine(folder: Path, engine: str) -> None:
    """Raise RefusedError when a run was started by another training loop, whose checkpoints this one cannot read."""
    before = written(folder).get("engine", engine)
    if before != engine:
        script = {"lightning": "train.py", "torch": "train_loop.py", "hf-trainer": "train_hf.py"}.get(before, before)
        raise RefusedError(
            f"the run in {folder} was not started by this training loop",
            because=f"its checkpoints are those of {before}",
            fix=f"go on with {script}, or start a new run",
            where=Where(file=str(folder / "manifest.json")),
            code="refused.engine",
        )


def project_facts(folder: Path) -> dict[str, Any]:
    """Return which template and version wrote the project in a folder, if its record says so."""
    record = folder / ".scaffold" / "record.yml"
    if not record.is_file():
        return {}
    loaded = DictConfig(OmegaConf.load(record))
    return {key: loaded.get(key) for key in ("template", "template_version")}


def git_state(folder: Path) -> dict[str, Any]:
    """Return the commit of the project and whether something differs from it; nothing where there is no git."""
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = found.stdout.splitlines()
    commits = [line.removeprefix("# branch.oid ") for line in lines if line.startswith("# branch.oid ")]
    if not commits:
        return {}
    return {"commit": commits[0], "changed": any(not line.startswith("#") for line in lines)}


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

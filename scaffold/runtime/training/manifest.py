"""What a run was made of, for whoever wants to repeat it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

import scaffold
from scaffold.errors import RefusedError, Where, listed
from scaffold.runtime.files import sha256
from scaffold.runtime.training.run import Run, project_facts

PACKAGES = ("torch", "lightning", "transformers", "torchmetrics", "hydra-core", "tokenizers", "numpy")


def manifest(run: Run, model: pl.LightningModule, files: dict[str, list[Path]]) -> dict[str, Any]:
    """Return versions, command, seed, commit, data checksums, parameter counts and hardware.

    A run that goes on keeps what it was started with, and adds how it went on to `resumed`.
    """
    facts = _circumstances()
    if run.resume_from and (known := written(run.folder)):
        return known | {"resumed": [*known.get("resumed", []), facts]}
    parameters = list(model.parameters())
    return facts | {
        "seed": run.config.seed,
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
    """Return the sha256 of every data file, by split."""
    return {split: {str(path): sha256(path) for path in paths} for split, paths in files.items()}


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

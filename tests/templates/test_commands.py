"""Every template's project through its own Makefile, as a person uses it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scaffold.project import catalog

REPOSITORY = Path(__file__).parents[2]


def make(project: Path, target: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a command of the project's Makefile with this interpreter and this checkout."""
    command = ["make", "--no-print-directory", target, f"PYTHON={sys.executable}", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SCAFFOLD_", "MAKE"))}
    environment |= {"PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=project, env=environment, input=text, capture_output=True, text=True, timeout=300, check=False
    )


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("template", catalog.template_names())
def test_a_project_trains_evaluates_predicts_and_tests_itself(new, template):
    project = new(template)
    [source] = (project / "data").glob("test.*")

    done(make(project, "train", "ARGS=experiment=smoke"))
    assert (project / "runs" / "latest" / "checkpoints" / "best.ckpt").is_file()
    assert "test/" in done(make(project, "evaluate"))
    done(make(project, "predict", f"INPUT={source.relative_to(project)}", "OUTPUT=predictions.jsonl"))
    rows = (project / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == number_of_rows(source)
    assert all("prediction" in json.loads(row) for row in rows)
    assert " passed" in done(make(project, "test"))


def test_each_training_loop_has_a_target_where_its_file_is(new):
    assert {"train-hf", "train-loop"} <= targets(new("encoder", "both"))
    assert {"train-hf", "train-loop"}.isdisjoint(targets(new("sequence-classifier", "one-loop")))
    project = new("image-classifier", answers={"engine": "torch"})
    assert targets(project) & {"train-hf", "train-loop"} == {"train-loop"}
    assert "test/accuracy" in done(make(project, "train-loop", "ARGS=experiment=smoke run_dir=runs/loop"))
    assert (project / "runs" / "loop" / "checkpoints" / "best.ckpt").is_file()


def targets(project: Path) -> set[str]:
    """Return the commands that `make help` lists."""
    return {line.split()[0] for line in done(make(project, "help")).splitlines()}


def number_of_rows(source: Path) -> int:
    if source.suffix == ".npz":
        return len(np.load(source)["x"])
    return len(source.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("template", catalog.template_names())
def test_help_lists_the_commands_and_clean_keeps_what_matters(new, template):
    project = new(template)
    for folder in ("runs/one", ".pytest_cache", ".ruff_cache", "tests/__pycache__"):
        (project / folder).mkdir(parents=True)
    assert {"help", "train", "evaluate", "predict", "test", "clean"} <= targets(project)
    before = {path for path in project.rglob("*") if path.is_file()}
    done(make(project, "clean"))
    assert {path for path in project.rglob("*") if path.is_file()} == before
    assert (project / "runs" / "one").is_dir()
    assert not [path for path in project.rglob("*cache*") if path.is_dir()]

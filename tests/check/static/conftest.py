"""What the tests of static rules share: a project to change, and a lone class to check."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from scaffold.check import Finding, Report, check_path
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sequence-classifier called mymodel, which must not be changed."""
    spec = build(catalog.find("sequence-classifier"), "mymodel", {}, runtime_requirement="scaffold-ml[runtime]")
    return create(spec, tmp_path_factory.mktemp("pristine") / "mymodel", git=False).path


@pytest.fixture
def project(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the project, which is the current folder."""
    folder = Path(shutil.copytree(pristine, tmp_path / "mymodel"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def checked(project: Path) -> Callable[..., list[Finding]]:
    """Change files of the project, given as (old, new) pairs or whole texts, and return what one rule finds."""

    def check(rule: str, **changes: tuple[str, str] | str) -> list[Finding]:
        for name, change in changes.items():
            path = project / FILES.get(name, name)
            text = path.read_text(encoding="utf-8") if isinstance(change, tuple) else ""
            assert not isinstance(change, tuple) or change[0] in text
            path.write_text(text.replace(*change) if isinstance(change, tuple) else dedent(change), encoding="utf-8")
        return list(check_path(project, static=True, only=[rule]).findings)

    return check


FILES = {
    "model": "mymodel/model.py",
    "task": "mymodel/task.py",
    "train": "train.py",
    "conf_model": "conf/model/mymodel.yaml",
    "conf_train": "conf/train.yaml",
    "conf_task": "conf/task/default.yaml",
    "conf_data": "conf/data/default.yaml",
    "conf_optim": "conf/optim/adamw.yaml",
    "conf_backbone": "conf/backbone/scratch.yaml",
    "extra": "mymodel/extra.py",
    "sweep": "sweep.yaml",
}


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Write a file with a class Model and return what the static half says of it."""
    monkeypatch.chdir(tmp_path)

    def check(text: str, *rules: str, task: str = "sequence") -> Report:
        (tmp_path / "model.py").write_text(dedent(text), encoding="utf-8")
        return check_path("model.py:Model", task=task, static=True, only=rules)

    return check

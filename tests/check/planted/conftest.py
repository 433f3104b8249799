"""How planted bugs are read and checked: each `NAME.toml` lists one-bug edits of the sound model `NAME.py` beside it.

`unplanned.toml` names the model with each bug.
`rule` is the rule that must find the bug, or several of which one must; `also` are rules that may fire as well, because
they see a consequence of the same bug. In `edits`, `\\n` stands for a new line.
"""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaffold.cli import main
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Planted:
    """A source with one bug."""

    source: str
    task: str
    rules: frozenset[str]
    also: frozenset[str]


@dataclass(frozen=True)
class Checked:
    """What the command found: rule -> severity, and the findings themselves."""

    code: int
    findings: list[dict[str, Any]]
    not_checked: list[Any]

    def rules(self, *severities: str) -> set[str]:
        """Return the rules that found something of these severities, or of any."""
        return {found["rule"] for found in self.findings if not severities or found["severity"] in severities}

    def __str__(self) -> str:
        lines = (f"{found['severity']} {found['rule']}: {found['message']}" for found in self.findings)
        return "\n".join(lines) or "nothing found"


def plants() -> list[Any]:
    """Return every planted bug as a parameter whose id is the sentence that says what is wrong."""
    found = []
    for table in sorted(HERE.glob("*.toml")):
        for plant in read(table)["plant"]:
            name = plant.get("model", table.stem)
            rules = plant["rule"] if isinstance(plant["rule"], list) else [plant["rule"]]
            source = edited((HERE / f"{name}.py").read_text(encoding="utf-8"), plant["edits"])
            bug = Planted(source, task_of(name), frozenset(rules), frozenset(plant.get("also", ())))
            found.append(pytest.param(bug, id=f"{table.stem}: {plant['what']}"))
    return found


def project_plants() -> list[Any]:
    """Return every bug that is planted in a generated project."""
    plants = read(HERE / "project" / "plants.toml")["plant"]
    return [pytest.param(plant, id=plant["what"]) for plant in plants]


def sound_models() -> list[Any]:
    """Return the models that the bugs are planted in, with their tasks."""
    names = sorted(path.stem for path in HERE.glob("*.toml") if path.with_suffix(".py").exists())
    return [pytest.param(HERE / f"{name}.py", task_of(name), id=name) for name in names]


def task_of(name: str) -> str:
    """Return the task of a sound model."""
    return read(HERE / f"{name}.toml")["task"]


def read(table: Path) -> dict[str, Any]:
    """Return what a file of bugs says."""
    return tomllib.loads(table.read_text(encoding="utf-8"))


def edited(source: str, edits: list[list[str]]) -> str:
    """Return a source with each edit made at the one place that it names; an empty source becomes the new text."""
    for edit in edits:
        old, new = (text.replace("\\n", "\n") for text in edit)
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times"
        source = source.replace(old, new)
    return source


@pytest.fixture
def check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    """Run the command on a source or a path, and return what it found."""

    def run(source: str | Path, *arguments: str, name: str = "Model") -> Checked:
        path = source
        if isinstance(source, str):
            path = tmp_path / "model.py"
            path.write_text(source, encoding="utf-8")
        target = f"{path}:{name}" if Path(path).suffix == ".py" else str(path)
        capsys.readouterr()
        code = main(["check", target, *arguments, "--json"])
        printed = capsys.readouterr()
        assert printed.out, printed.err
        report = json.loads(printed.out)
        assert "rule itself failed" not in str(report["not_checked"]), report["not_checked"]
        return Checked(code, report["findings"], report["not_checked"])

    return run


@pytest.fixture(scope="session")
def sound_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a template's project with a few rows of data, once."""
    made: dict[str, Path] = {}

    def write(template: str) -> Path:
        if template not in made:
            spec = build(catalog.find(template), "mymodel", {}, runtime_requirement="scaffold-ml[runtime]")
            made[template] = create(spec, tmp_path_factory.mktemp("sound") / "mymodel", git=False).path
            for path in (made[template] / "data").iterdir():
                rows = path.read_text(encoding="utf-8").splitlines(keepends=True)
                path.write_text("".join(rows[:40]), encoding="utf-8")
        return made[template]

    return write


@pytest.fixture
def project(
    sound_project: Callable[[str], Path], tmp_path: Path, opened: Callable[[Path], Path], template: str
) -> Path:
    """Copy the generated project, and enter it."""
    return opened(Path(shutil.copytree(sound_project(template), tmp_path / "mymodel")))


@pytest.fixture
def template(request: pytest.FixtureRequest) -> str:
    """Name the template that a bug is planted in, by default the simplest."""
    plant = request.getfixturevalue("project_plant") if "project_plant" in request.fixturenames else {}
    return str(plant.get("template", "sequence-classifier"))


@pytest.fixture
def planted_project(project: Path, project_plant: dict[str, Any]) -> Path:
    """Plant a bug in the generated project."""
    path = project / project_plant["file"]
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(edited(text, project_plant["edits"]), encoding="utf-8")
    if "reader" in project_plant:
        (project / "mymodel" / "reader.py").write_text(project_plant["reader"], encoding="utf-8")
    return project


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the tests their models; a conftest cannot be imported by them."""
    if "planted" in metafunc.fixturenames:
        metafunc.parametrize("planted", plants())
    if "project_plant" in metafunc.fixturenames:
        metafunc.parametrize("project_plant", project_plants())
    if "sound" in metafunc.fixturenames:
        metafunc.parametrize(("sound", "task"), sound_models())

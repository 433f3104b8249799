"""A project that any released version wrote becomes, by `scaffold update`, what its template writes today."""

import shutil
import subprocess
from pathlib import Path

import pytest

import scaffold
from scaffold.project import catalog, record, requirement
from scaffold.project.create import create
from scaffold.project.spec import build
from scaffold.project.update import update

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
STORED = Path(__file__).parents[1] / "fixtures" / "projects"
OLD = sorted(path for path in STORED.glob("*/*") if path.parent.name != scaffold.__version__)


def git(project: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, cwd=project, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def old(unpacked, monkeypatch):
    """Unpack a stored project and commit it; today's runtime is that of a released version, too."""
    monkeypatch.setattr(requirement, "installed_from", lambda: "")

    def commit(stored: Path) -> Path:
        project = unpacked(stored)
        git(project, "init", "--quiet")
        git(project, "add", "--all", "--force")
        git(project, "commit", "--quiet", "--message=start")
        return project

    return commit


def contents(project: Path) -> dict[str, bytes]:
    return {path: (project / path).read_bytes() for path in record.project_files(project)}


@pytest.mark.parametrize("stored", OLD, ids=lambda path: f"{path.parent.name}, {path.name}")
def test_an_untouched_project_becomes_what_is_written_today(stored, old, tmp_path):
    project = old(stored)
    today = create(build(catalog.find(stored.name), "mymodel", {}), tmp_path / "today", git=False).path
    result = update(project, {})
    assert not result.has_conflicts
    assert {path: text for path, text in contents(project).items() if not path.startswith("data/")} == {
        path: text for path, text in contents(today).items() if not path.startswith("data/")
    }
    assert record.read(project).files == record.read(today).files


@pytest.mark.parametrize("stored", OLD, ids=lambda path: f"{path.parent.name}, {path.name}")
def test_a_line_of_the_person_s_in_every_file_is_there_after_the_update(stored, old):
    project = old(stored)
    mine = {path: text + b"\n# mine\n" for path, text in contents(project).items() if path.endswith((".py", ".yaml"))}
    for path, text in mine.items():
        (project / path).write_bytes(text)
    git(project, "commit", "--all", "--quiet", "--message=mine")
    result = update(project, {})
    conflicts = [change.path for change in result.changes if change.kind == "conflict"]
    assert len(conflicts) <= 1, f"only where the template changed the last line, too: {conflicts}"
    assert all(b"\n# mine\n" in (project / path).read_bytes() for path in mine)

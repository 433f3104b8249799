"""The first commit: everything is in it, by the person where git knows one, and nothing of theirs runs."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from scaffold.errors import EnvironmentFault
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")


@pytest.fixture
def new(catalogue, tmp_path, monkeypatch):
    """Create a project under a given configuration of git."""
    for key in [key for key in os.environ if key.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    template = catalog.find("tagger", catalogue())

    def make(config: str = "", target: Path = tmp_path / "m"):
        (tmp_path / "gitconfig").write_text(config)
        return create(build(template, "mymodel", {}), target)

    return make


def ask_git(project: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", project, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def test_one_commit_on_main_holds_every_file(new):
    created = new()
    assert created.versioning == "committed"
    assert ask_git(created.path, "log", "--format=%s", "main") == "Start mymodel from tagger 1.2.0"
    assert ask_git(created.path, "status", "--porcelain", "--ignored") == ""
    assert ask_git(created.path, "ls-files").splitlines() == [file.path for file in created.files]


def test_the_author_is_the_person_or_a_neutral_one(new, tmp_path):
    known = new("[user]\n\tname = Ada\n\temail = ada@example.org\n", tmp_path / "known")
    unknown = new("", tmp_path / "unknown")
    assert ask_git(known.path, "log", "--format=%an <%ae>") == "Ada <ada@example.org>"
    assert ask_git(unknown.path, "log", "--format=%an <%ae>") == "scaffold <scaffold@localhost>"


def test_nothing_of_the_person_s_configuration_runs_or_changes_files(new, tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    hooks, ignored, attributes = (tmp_path / name for name in ("template/hooks", "ignored", "attributes"))
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "post-commit", "commit-msg", "reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / name).chmod(0o755)
    ignored.write_text("*.zip\ndata/\nconf/\n")
    attributes.write_text("* text eol=crlf filter=evil\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(hooks.parent))
    created = new(
        f"[core]\n\thooksPath = {hooks}\n\texcludesFile = {ignored}\n\tattributesFile = {attributes}\n"
        f"\tautocrlf = true\n\tfsmonitor = {hooks / 'pre-commit'}\n"
        f"[init]\n\ttemplateDir = {hooks.parent}\n\tdefaultBranch = trunk\n"
        f'[commit]\n\tgpgSign = true\n[filter "evil"]\n\tclean = touch {canary}; cat\n\trequired = true\n'
        f"[gpg]\n\tprogram = {hooks / 'pre-commit'}\n"
    )
    for key in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_TEMPLATE_DIR"):
        monkeypatch.delenv(key)
    (tmp_path / "gitconfig").write_text("")
    assert not canary.exists()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "index").exists()
    assert not (created.path / ".git/hooks").exists()
    assert ask_git(created.path, "branch", "--show-current") == "main"
    assert ask_git(created.path, "ls-files").splitlines() == [file.path for file in created.files]
    assert ask_git(created.path, "status", "--porcelain", "--ignored") == ""


def test_inside_a_work_tree_no_repository_is_made(new, tmp_path):
    (tmp_path / "outer/deep").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", tmp_path / "outer"], check=True)
    created = new(target=tmp_path / "outer/deep/m")
    assert created.versioning == "inside another repository"
    assert not (created.path / ".git").exists()


def test_without_git_the_project_is_written_all_the_same(new, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    created = new()
    assert created.versioning == "git is missing"
    assert (created.path / "README.md").exists()
    assert not (created.path / ".git").exists()


def test_a_git_that_fails_leaves_nothing_and_says_what_it_said(new, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text("#!/bin/sh\necho 'fatal: no such luck' >&2\nexit 128\n")
    (tmp_path / "bin/git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(EnvironmentFault, match="git init failed") as fault:
        new()
    assert fault.value.because == "fatal: no such luck"
    assert fault.value.fix.endswith("--no-git")
    assert not list(tmp_path.glob(".m.tmp-*"))
    assert not (tmp_path / "m").exists()

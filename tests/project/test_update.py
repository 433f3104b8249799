"""`scaffold update`: what the template writes today comes in, and nothing of the person's is lost."""

import fcntl
import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from scaffold import __version__
from scaffold.project import record

pytestmark = pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")

NOTES = "_base/notes.txt.jinja"
BODY = "".join(f"line {number}\n" for number in range(12))
FIRST, LAST = BODY.replace("line 0", "line zero"), BODY.replace("line 11", "line eleven")
BOTH = FIRST.replace("line 11", "line eleven")


def git(*arguments: str, folder: str | Path = "mymodel") -> str:
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: str | Path = "mymodel") -> None:
    git("add", "--all", ".", folder=folder)
    git("commit", "--quiet", "--message=mine", folder=folder)


def state(folder: str | Path = "mymodel") -> dict[str, bytes]:
    """Return every file that is not git's own, and what git says of them all."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and ".git" not in path.parts]
    said = git("status", "--porcelain", "--ignored", folder=folder).encode()
    return {str(path): path.read_bytes() for path in paths} | {"status": said}


def changes(ended) -> dict[str, str]:
    return {change["path"]: change["kind"] for change in json.loads(ended.out)["changes"]}


@pytest.fixture
def written(scaffold, catalogue) -> Callable[..., Path]:
    """Write a project, then have its template write other files in a later version; None takes a file out of it."""

    def make(then: dict[str, str | None], first: dict[str, str] | None = None, *options: str) -> Path:
        root = catalogue({NOTES: BODY} | (first or {}))
        assert scaffold("new", "tagger", "mymodel", *options).code == 0
        for name, text in then.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text) if text is not None else (root / name).unlink()
        manifest = root / "_base/template.yml"
        manifest.write_text(manifest.read_text().replace("version: 1.2.0", "version: 1.3.0"))
        return Path("mymodel")

    return make


def test_what_the_person_left_alone_is_what_the_template_writes_today(written, scaffold):
    project = written({NOTES: FIRST})
    ended = scaffold("update", "mymodel")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "mymodel: tagger 1.2.0 → 1.3.0\n\n  update  notes.txt\n\n"
        "Nothing is committed: `git diff --staged` shows it, `git commit` keeps it.\n"
        "`scaffold update --abort` takes all of it back.\n"
    )
    assert (project / "notes.txt").read_text() == FIRST
    assert git("status", "--porcelain").splitlines() == [
        "M  .scaffold/base.zip",
        "M  .scaffold/record.yml",
        "M  notes.txt",
    ]
    assert record.read(project).template_version == "1.3.0"


def test_a_project_that_is_up_to_date_is_left_alone(written, scaffold):
    written({NOTES: FIRST})
    scaffold("update", "mymodel")
    commit()
    before = state()
    ended = scaffold("update", "mymodel")
    assert (ended.code, ended.out) == (0, "mymodel is up to date: tagger 1.3.0.\n")
    assert state() == before


def test_changes_in_other_lines_are_merged(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").write_text(LAST)
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "merge"}
    assert (project / "notes.txt").read_text() == BOTH


def test_changes_in_the_same_lines_become_a_conflict_of_git_s(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").write_text(BODY.replace("line 0", "line null"))
    commit()
    ended = scaffold("update", "mymodel")
    assert ended.code == 6
    assert "conflict  notes.txt  you and the template changed the same lines" in ended.out
    assert "Settle the conflicts" in ended.out
    assert (
        (project / "notes.txt")
        .read_text()
        .startswith("<<<<<<< yours\nline null\n=======\nline zero\n>>>>>>> scaffold-1.3.0\nline 1\n")
    )
    assert git("show", ":1:notes.txt", ":2:notes.txt", ":3:notes.txt").count("line 5") == 3
    (project / "notes.txt").write_text(FIRST)
    commit()
    assert "up to date" in scaffold("update", "mymodel").out


def test_a_file_that_the_template_moves_takes_the_person_s_changes_along(written, scaffold):
    project = written({NOTES: None, "_base/docs/about.txt.jinja": FIRST})
    (project / "notes.txt").write_text(LAST)
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"docs/about.txt": "add", "notes.txt": "remove"}
    assert (project / "docs/about.txt").read_text() == BOTH
    assert not (project / "notes.txt").exists()


def test_a_file_that_the_person_moved_gets_the_template_s_changes(written, scaffold):
    project = written({NOTES: FIRST})
    git("mv", "notes.txt", "mine.txt")
    (project / "mine.txt").write_text(LAST)
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"mine.txt": "merge"}
    assert (project / "mine.txt").read_text() == BOTH


def test_what_the_person_deleted_stays_deleted(written, scaffold):
    project = written({NOTES: FIRST})
    git("rm", "--quiet", "notes.txt")
    commit()
    ended = scaffold("update", "mymodel")
    assert (ended.code, "keep  notes.txt  you deleted it, so it stays deleted" in ended.out) == (0, True)
    assert not (project / "notes.txt").exists()
    assert git("status", "--porcelain").split()[1::2] == [".scaffold/base.zip", ".scaffold/record.yml"]


@pytest.mark.parametrize("text, kind", [(BODY, "remove"), (LAST, "keep")])
def test_a_file_that_the_template_gives_up_goes_unless_the_person_changed_it(text, kind, written, scaffold):
    project = written({"_base/docs/about.txt.jinja": None}, {"_base/docs/about.txt.jinja": BODY})
    (project / "docs/about.txt").write_text(text)
    if text != BODY:
        commit()
    ended = scaffold("update", "mymodel", "--json")
    assert (ended.code, changes(ended)) == (0, {"docs/about.txt": kind})
    assert (project / "docs").exists() == (kind == "keep")


def test_data_is_the_person_s_from_the_first_day(written, scaffold):
    project = written({"_base/data/train.tsv.jinja": "new\trow\n", "_base/data/test.tsv.jinja": "a\tb\n"})
    (project / "data/train.tsv").write_text("my\trow\n")
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"data/test.tsv": "add"}
    assert (project / "data/train.tsv").read_text() == "my\trow\n"


def test_data_that_the_template_gives_up_or_adds_beside_the_person_s_own_is_left_alone(written, scaffold):
    project = written({"_base/data/train.tsv.jinja": None, "_base/data/test.tsv.jinja": "a\tb\n"})
    (project / "data/test.tsv").write_text("my\ttest\n")
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {}
    assert (project / "data/train.tsv").exists()
    assert (project / "data/test.tsv").read_text() == "my\ttest\n"


@pytest.mark.parametrize("ignored", [False, True])
def test_a_new_file_never_replaces_one_that_git_does_not_know(ignored, written, scaffold):
    project = written({"_base/extra/new.txt.jinja": "theirs\n", NOTES: FIRST})
    (project / "extra").mkdir()
    (project / "extra/new.txt").write_text("mine\n")
    if ignored:
        (project / ".gitignore").write_text("extra/\n")
        commit()
    before = state()
    ended = scaffold("update", "mymodel")
    assert ended.code == 3
    assert "error: the update adds extra/new.txt, where there is something of yours" in ended.err
    assert state() == before


def test_a_new_file_is_not_written_through_a_link(written, scaffold, tmp_path):
    project = written({"_base/extra/new.txt.jinja": "theirs\n"})
    (tmp_path / "outside").mkdir()
    (project / "extra").symlink_to(tmp_path / "outside")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "the update adds extra/new.txt" in ended.err) == (3, True)
    assert not any((tmp_path / "outside").iterdir())


def test_changes_that_are_not_committed_are_refused_and_files_that_git_does_not_know_are_no_matter(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "scratch.txt").write_text("mine\n")
    (project / "README.md").write_text("mine\n")
    before = state()
    ended = scaffold("update", "mymodel")
    assert ended.code == 3
    assert "error: there are changes that are not committed\n  because: README.md: an update" in ended.err
    assert "fix: git commit --all (or git stash), then run it again" in ended.err
    assert state() == before
    git("checkout", "README.md")
    assert scaffold("update", "mymodel").code == 0
    assert (project / "scratch.txt").read_text() == "mine\n"


def test_a_project_without_git_or_commit_is_told_what_to_do(written, scaffold):
    written({NOTES: FIRST}, {}, "--no-git")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "mymodel' is not in a git repository" in ended.err) == (3, True)
    assert "fix: git init && git add . && git add --force .scaffold && git commit -m Start" in ended.err
    git("init", "--quiet")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: no commit holds the project yet" in ended.err) == (3, True)
    commit()
    assert scaffold("update", "mymodel").code == 0


def test_a_project_that_a_larger_repository_does_not_hold_is_told_so(written, scaffold):
    written({NOTES: FIRST}, {}, "--no-git")
    git("init", "--quiet", folder=".")
    git("commit", "--quiet", "--allow-empty", "--message=other things", folder=".")
    assert "error: no commit holds the project yet" in scaffold("update", "mymodel").err


def test_a_file_that_is_no_text_any_more_is_a_conflict_with_yours_in_place(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").write_bytes(b"\0\1\2")
    commit()
    assert scaffold("update", "mymodel").code == 6
    assert (project / "notes.txt").read_bytes() == b"\0\1\2"
    assert [line.split()[2] for line in git("ls-files", "--stage", "notes.txt").splitlines()] == ["1", "2", "3"]
    assert scaffold("update", "mymodel", "--abort").code == 0
    assert git("status", "--porcelain") == ""


def test_a_folder_that_is_no_project_is_refused(scaffold, tmp_path):
    ended = scaffold("update")
    assert (ended.code, "is no project of scaffold" in ended.err) == (3, True)


def test_a_folder_within_the_project_will_do(written, scaffold, monkeypatch):
    written({NOTES: FIRST})
    monkeypatch.chdir("mymodel/data")
    assert changes(scaffold("update", "--json")) == {"notes.txt": "update"}


def test_a_machine_without_git_is_told_so(written, scaffold, monkeypatch, tmp_path):
    written({NOTES: FIRST})
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: git is missing" in ended.err) == (4, True)


def test_a_git_that_is_too_old_is_told_so(written, scaffold, monkeypatch, tmp_path):
    written({NOTES: FIRST})
    old = tmp_path / "bin/git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: git 2.34.1 is too old\n" in ended.err) == (4, True)


def test_check_says_by_its_exit_code_whether_there_is_an_update(written, scaffold):
    written({NOTES: FIRST})
    before = state()
    ended = scaffold("update", "mymodel", "--check")
    assert (ended.code, "Nothing was changed" in ended.out) == (10, True)
    assert state() == before
    scaffold("update", "mymodel")
    commit()
    assert scaffold("update", "mymodel", "--check").code == 0


def test_a_dry_run_shows_the_same_and_changes_nothing_not_even_in_git(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "README.md").write_text("not committed, and no matter here\n")
    before, objects = state(), git("count-objects")
    ended = scaffold("update", "mymodel", "--dry-run", "--json")
    assert (ended.code, changes(ended)) == (0, {"notes.txt": "update"})
    assert {key: json.loads(ended.out)[key] for key in ("from", "to", "due", "written", "conflicts")} == {
        "from": "1.2.0",
        "to": "1.3.0",
        "due": True,
        "written": False,
        "conflicts": False,
    }
    assert (state(), git("count-objects")) == (before, objects)


def test_abort_brings_everything_back(written, scaffold):
    project = written(
        {NOTES: FIRST, "_base/extra/new.txt.jinja": "new\n", "_base/old.txt.jinja": None}, {"_base/old.txt.jinja": "o"}
    )
    before = state()
    assert scaffold("update", "mymodel").code == 0
    assert (project / "extra/new.txt").exists()
    for arguments in ((), ("--check",), ("--dry-run",)):
        refused = scaffold("update", "mymodel", *arguments)
        assert (refused.code, "error: the last update is not committed yet" in refused.err) == (3, True)
    ended = scaffold("update", "mymodel", "--abort")
    assert (ended.code, ended.out) == (0, "Took the update back: 5 files are as they were committed.\n")
    assert state() == before
    assert not (project / "extra").exists()
    again = scaffold("update", "mymodel", "--abort")
    assert (again.code, "there is no update of" in again.err) == (3, True)


def test_abort_takes_a_conflict_back_and_an_update_that_is_committed_stays(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").write_text(BODY.replace("line 0", "line null"))
    commit()
    before = state()
    assert scaffold("update", "mymodel").code == 6
    assert json.loads(scaffold("update", "mymodel", "--abort", "--json").out)["restored"][-1] == "notes.txt"
    assert state() == before
    scaffold("update", "mymodel")
    (project / "notes.txt").write_text(FIRST)
    commit()
    assert scaffold("update", "mymodel", "--abort").code == 3


def test_an_update_that_was_undone_by_git_is_over(written, scaffold):
    written({NOTES: FIRST})
    scaffold("update", "mymodel")
    git("reset", "--hard", "--quiet")
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "update"}


def test_options_that_contradict_each_other_are_refused(scaffold, catalogue):
    ended = scaffold("update", "--abort", "--check")
    assert (ended.code, "error: --check and --abort cannot be given together" in ended.err) == (2, True)
    ended = scaffold("update", "--abort", "--set", "a=b")
    assert (ended.code, "error: --abort and --set cannot be given together" in ended.err) == (2, True)


def test_a_project_in_a_folder_of_a_larger_repository_leaves_the_rest_of_it_alone(written, scaffold):
    written({NOTES: FIRST, "_base/extra/new.txt.jinja": "new\n"}, {}, "--no-git")
    Path("other.txt").write_text("committed\n")
    git("init", "--quiet", folder=".")
    Path(".gitignore").write_text("ignored\n")
    commit(".")
    Path("other.txt").write_text("staged\n")
    git("add", "other.txt", folder=".")
    Path("other.txt").write_text("not staged\n")
    before = state(".")
    assert changes(scaffold("update", "mymodel", "--json")) == {"extra/new.txt": "add", "notes.txt": "update"}
    assert git("show", ":other.txt", folder=".") == "staged\n"
    assert Path("other.txt").read_text() == "not staged\n"
    assert Path("mymodel/notes.txt").read_text() == FIRST
    scaffold("update", "mymodel", "--abort")
    assert state(".") == before


def test_answers_can_be_changed_and_new_questions_get_their_defaults(written, scaffold, catalogue):
    asked = "  extra: {type: bool, default: false}\n  speed: {type: str, default: fast}\n"
    questions = {"tagger/template.yml": f"summary: S\nquestions:\n{asked}"}
    project = written(
        {**questions, "tagger/conf/train.yaml.jinja": "speed: {{ speed_yaml }}\nabout: {{ description_yaml }}\n"}
    )
    ended = scaffold("update", "mymodel", "--set", "extra=true", "--json")
    assert changes(ended) == {"conf/train.yaml": "update", "extra.py": "add"}
    assert (project / "conf/train.yaml").read_text().startswith('speed: "fast"')
    assert record.read(project).answers == {
        "package": "mymodel",
        "description": "About mymodel.",
        "extra": True,
        "speed": "fast",
    }
    commit()
    assert "mymodel: tagger 1.3.0 with other answers" in scaffold("update", "mymodel", "--set", "extra=no").out
    assert not (project / "extra.py").exists()


def test_a_question_that_the_template_does_not_ask_is_refused(written, scaffold):
    written({NOTES: FIRST})
    ended = scaffold("update", "mymodel", "--set", "sise=large")
    assert (ended.code, "did you mean 'size'?" in ended.err) == (2, True)


def test_a_bare_project_stays_bare(written, scaffold):
    project = written({NOTES: FIRST}, {}, "--bare")
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "update"}
    assert (project / "mymodel/model.py").read_text() == "class Mymodel:\n    pass\n"


def test_a_project_of_a_newer_scaffold_is_refused(written, scaffold):
    project = written({NOTES: FIRST})
    path = project / record.RECORD
    path.write_text(path.read_text().replace(f"runtime_version: {__version__}", "runtime_version: 99.1.0"))
    commit()
    ended = scaffold("update", "mymodel")
    assert ended.code == 3
    assert (
        f"because: version 99.1.0 wrote it, this is {__version__}\n  fix: pip install --upgrade scaffold-ml"
        in ended.err
    )


def test_a_base_that_was_changed_is_refused(written, scaffold):
    project = written({NOTES: FIRST})
    (project / record.BASE).write_bytes(b"mine")
    commit()
    assert scaffold("update", "mymodel").code == 5


def test_line_ends_of_windows_and_the_right_to_run_are_kept(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").write_bytes(LAST.replace("\n", "\r\n").encode())
    (project / "notes.txt").chmod(0o755)
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "merge"}
    assert (project / "notes.txt").read_bytes() == BOTH.replace("\n", "\r\n").encode()
    assert (project / "notes.txt").stat().st_mode & stat.S_IXUSR


def test_a_git_that_converts_line_ends_goes_on_doing_so(written, scaffold, tmp_path):
    project = written({NOTES: FIRST})
    (tmp_path / "gitconfig").write_text("[core]\n\tautocrlf = true\n")
    git("rm", "--cached", "-r", "--quiet", ".")
    git("reset", "--hard", "--quiet")
    assert b"\r\n" in (project / "notes.txt").read_bytes()
    assert scaffold("update", "mymodel").code == 0
    assert (project / "notes.txt").read_bytes() == FIRST.replace("\n", "\r\n").encode()


def test_no_hook_of_the_person_s_runs(written, scaffold, tmp_path):
    project = written({NOTES: FIRST})
    for name in ("post-index-change", "post-checkout", "pre-commit", "reference-transaction"):
        hook = project / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/canary\n")
        hook.chmod(0o755)
    assert scaffold("update", "mymodel").code == 0
    assert scaffold("update", "mymodel", "--abort").code == 0
    assert not (tmp_path / "canary").exists()


@pytest.fixture
def failing(monkeypatch, tmp_path) -> Callable[[str], None]:
    """Have git end with a failure whenever it has written files, as on a full disk, unless a shell command succeeds."""

    def make(unless: str) -> None:
        script = tmp_path / "bin/git"
        script.parent.mkdir()
        really = shutil.which("git")
        script.write_text(
            f'#!/bin/sh\n{really} "$@" || exit\ncase "$*" in *checkout-index*) {unless} || exit 1;; esac\n'
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")

    return make


def test_a_machine_that_refuses_half_way_leaves_all_as_it_was(written, scaffold, tmp_path, failing):
    written({NOTES: FIRST, "_base/a.txt.jinja": "new\n"})
    before = state()
    failing(
        f"mkdir {tmp_path}/failed || test -e {tmp_path}/failed && test -e {tmp_path}/again || ! touch {tmp_path}/again"
    )
    ended = scaffold("update", "mymodel")
    assert ended.code == 4
    assert "error: the update could not be written; every file is as it was" in ended.err
    assert state() == before
    assert scaffold("update", "mymodel").code == 0


def test_a_machine_that_does_not_even_let_it_be_undone_leaves_the_way_back(written, scaffold, tmp_path, failing):
    written({NOTES: FIRST})
    before = state()
    failing(f"test -e {tmp_path}/room")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: the update stopped half-way" in ended.err) == (4, True)
    assert ended.err.endswith("fix: make room and permission there, then scaffold update --abort\n")
    (tmp_path / "room").touch()
    git("commit", "--allow-empty", "--quiet", "--message=in between")
    refused = scaffold("update", "mymodel")
    assert (refused.code, "error: the last update was interrupted while it wrote" in refused.err) == (3, True)
    assert refused.err.endswith("fix: scaffold update --abort, then run it again\n")
    assert scaffold("update", "mymodel", "--abort").code == 0
    assert {path: text for path, text in state().items() if path != "status"} == {
        path: text for path, text in before.items() if path != "status"
    }
    assert scaffold("update", "mymodel").code == 0


def test_another_git_at_work_is_left_alone(written, scaffold):
    project = written({NOTES: FIRST})
    (project / ".git/index.lock").touch()
    before = state()
    ended = scaffold("update", "mymodel")
    assert (ended.code, "Another git process seems to be running" in ended.err) == (4, True)
    assert (state(), (project / ".git/index.lock").exists()) == (before, True)
    (project / ".git/index.lock").unlink()
    assert scaffold("update", "mymodel").code == 0


def test_two_updates_at_once_are_refused(written, scaffold):
    project = written({NOTES: FIRST})
    handle = os.open(project / ".git", os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    for arguments in ((), ("--abort",)):
        ended = scaffold("update", "mymodel", *arguments)
        assert (ended.code, "error: another update is running in this repository" in ended.err) == (3, True)
    os.close(handle)
    assert scaffold("update", "mymodel").code == 0


def test_a_journal_that_is_damaged_is_named(written, scaffold):
    project = written({NOTES: FIRST})
    (project / ".git/scaffold-update.json").write_text('{"head": "12')
    ended = scaffold("update", "mymodel")
    assert (ended.code, "scaffold-update.json]" in ended.err) == (5, True)


def test_abort_loses_nothing_that_was_done_since(written, scaffold):
    project = written({NOTES: FIRST, "_base/old.txt.jinja": None}, {"_base/old.txt.jinja": "o\n"})
    scaffold("update", "mymodel")
    (project / "notes.txt").write_text("mine\n")
    (project / "old.txt").write_text("mine\n")
    ended = scaffold("update", "mymodel", "--abort")
    assert (ended.code, "error: you have changed notes.txt, old.txt since the update" in ended.err) == (3, True)
    assert (project / "notes.txt").read_text() == "mine\n"


def test_an_update_that_was_undone_or_left_behind_in_another_branch_is_over(written, scaffold):
    project = written({NOTES: FIRST})
    scaffold("update", "mymodel")
    git("reset", "--hard", "--quiet")
    (project / "README.md").write_text("mine\n")
    assert "error: there are changes that are not committed" in scaffold("update", "mymodel").err
    assert "there is no update of" in scaffold("update", "mymodel", "--abort").err
    assert (project / "README.md").read_text() == "mine\n"


def test_files_that_git_was_told_not_to_look_at_are_not_overwritten(written, scaffold):
    project = written({NOTES: FIRST})
    for flag in ("--skip-worktree", "--assume-unchanged"):
        git("update-index", flag, "notes.txt")
        (project / "notes.txt").write_text("for this machine\n")
        ended = scaffold("update", "mymodel")
        assert (ended.code, "error: git was told not to look at notes.txt" in ended.err) == (3, True)
        assert (project / "notes.txt").read_text() == "for this machine\n"
        git("update-index", f"--no-{flag[2:]}", "notes.txt")


def test_files_that_git_filters_are_refused(written, scaffold):
    project = written({NOTES: FIRST})
    (project / ".gitattributes").write_text("*.txt filter=lfs\n")
    commit()
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: git filters notes.txt" in ended.err) == (3, True)


def test_a_conflict_never_replaces_a_file_that_git_does_not_hold(written, scaffold):
    project = written({NOTES: None, "_base/docs/about.txt.jinja": FIRST})
    git("mv", "notes.txt", "mine.txt")
    commit()
    (project / "docs").mkdir()
    (project / "docs/about.txt").write_text("mine\n")
    ended = scaffold("update", "mymodel")
    assert (ended.code, "the update adds docs/about.txt, where there is something of yours" in ended.err) == (3, True)
    assert (project / "docs/about.txt").read_text() == "mine\n"


def test_a_record_that_no_commit_holds_is_told_so(written, scaffold):
    written({NOTES: FIRST}, {}, "--no-git")
    git("init", "--quiet")
    Path("mymodel/.gitignore").write_text("*.zip\n")
    commit()
    ended = scaffold("update", "mymodel")
    assert "error: no commit holds the project yet, or not its folder .scaffold" in ended.err
    assert "fix: git add . && git add --force .scaffold && git commit -m Start" in ended.err


def test_what_else_is_in_the_folder_of_the_record_stays(written, scaffold):
    project = written({NOTES: FIRST})
    (project / ".scaffold/mine.txt").write_text("mine\n")
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "update"}
    assert (project / ".scaffold/mine.txt").exists()


def test_only_the_project_that_is_named_is_updated(written, scaffold, monkeypatch, tmp_path):
    written({NOTES: FIRST})
    (tmp_path / "plain").mkdir()
    monkeypatch.chdir("mymodel")
    assert "is no project of scaffold" in scaffold("update", str(tmp_path / "plain")).err
    assert "is no project of scaffold" in scaffold("update", "..").err
    missing = scaffold("update", "nosuch")
    assert (missing.code, "Directory 'nosuch' does not exist" in missing.err) == (2, True)


def test_a_project_inside_the_project_is_left_alone(written, scaffold, monkeypatch):
    project = written({NOTES: FIRST})
    shutil.copytree(project, project / "sub", ignore=shutil.ignore_patterns(".git"))
    git("rm", "--quiet", "notes.txt")
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "keep"}
    assert (project / "sub/notes.txt").read_text() == BODY


def test_a_merge_that_is_under_way_comes_first(written, scaffold):
    project = written({NOTES: FIRST})
    (project / ".git/MERGE_HEAD").write_text(git("rev-parse", "HEAD"))
    ended = scaffold("update", "mymodel")
    assert (ended.code, "error: a merge or a rebase is under way" in ended.err) == (3, True)


def test_a_file_may_become_a_folder(written, scaffold):
    project = written({NOTES: None, "_base/notes.txt/a.txt.jinja": "a\n"})
    before = state()
    assert changes(scaffold("update", "mymodel", "--json")) == {"notes.txt": "remove", "notes.txt/a.txt": "add"}
    assert (project / "notes.txt/a.txt").read_text() == "a\n"
    assert scaffold("update", "mymodel", "--abort").code == 0
    assert state() == before


def test_a_link_in_the_place_of_a_file_stays(written, scaffold):
    project = written({NOTES: FIRST})
    (project / "notes.txt").unlink()
    (project / "notes.txt").symlink_to("README.md")
    commit()
    ended = scaffold("update", "mymodel")
    assert (ended.code, "keep  notes.txt  you made something else of it, so it stays" in ended.out) == (0, True)
    assert (project / "notes.txt").is_symlink()


def test_a_folder_that_was_split_up_is_no_matter(written, scaffold):
    lib = {f"_base/lib/{name}.txt.jinja": f"{name}\n{BODY}" for name in "abcd"}
    project = written({"_base/lib/new.txt.jinja": "new\n"}, lib)
    for name, folder in zip("abcd", "xxyy", strict=True):
        (project / folder).mkdir(exist_ok=True)
        git("mv", f"lib/{name}.txt", f"{folder}/{name}.txt")
    commit()
    assert changes(scaffold("update", "mymodel", "--json")) == {"lib/new.txt": "add"}

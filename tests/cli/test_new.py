"""`scaffold new`, as a person calls it."""

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest


def test_it_says_where_the_project_is_and_what_comes_next(scaffold, catalogue):
    catalogue()
    ended = scaffold("new", "tagger", "mymodel")
    here = Path.cwd()
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        f"Wrote {here / 'mymodel'} from tagger: 7 files, in a first commit.\n\n"
        "  cd mymodel\n\nThen make it yours: mymodel/model.py\n"
    )
    assert (here / "mymodel/README.md").exists()


def test_make_train_comes_next_where_the_project_has_a_makefile(scaffold, catalogue):
    catalogue({"_base/Makefile.jinja": "train:\n"})
    assert "\n\n  cd mymodel\n  make train\n\n" in scaffold("new", "tagger", "mymodel").out


def test_into_a_file_is_refused_with_the_way_out(scaffold, catalogue):
    catalogue()
    Path("g.py").touch()
    ended = scaffold("new", "tagger", "mymodel", "--into", "g.py")
    assert ended.code == 3
    assert ended.err.endswith("g.py is a file\n  fix: choose a folder with --into\n")


def test_into_chooses_the_parent_folder(scaffold, catalogue, tmp_path):
    catalogue()
    (tmp_path / "my place").mkdir()
    ended = scaffold("new", "tagger", "mymodel", "--into", str(tmp_path / "my place"), "--no-git")
    assert f"cd '{tmp_path}/my place/mymodel'" in ended.out
    assert "without a repository." in ended.out
    assert not (tmp_path / "my place/mymodel/.git").exists()


def test_answers_come_from_a_file_and_the_command_line_wins(scaffold, catalogue):
    catalogue()
    Path("answers.yaml").write_text("size: large\nextra: yes\ndescription: 'From the file: #1'\n")
    ended = scaffold("new", "tagger", "mymodel", "--answers", "answers.yaml", "--set", "description=a=b", "--json")
    assert json.loads(ended.out)["answers"] == {
        "package": "mymodel",
        "description": "a=b",
        "size": "large",
        "extra": True,
    }


def test_bare_takes_the_bare_layers(scaffold, catalogue):
    catalogue()
    assert scaffold("new", "tagger", "mymodel", "--bare").code == 0
    assert Path("mymodel/mymodel/model.py").read_text() == "class Mymodel:\n    pass\n"


def test_a_dry_run_prints_the_tree_and_writes_nothing(scaffold, catalogue):
    catalogue()
    ended = scaffold("new", "tagger", "mymodel", "--dry-run")
    assert ended.out.startswith(f"Would write {Path.cwd() / 'mymodel'}:\n")
    assert re.search(
        r"^  mymodel/\n    __init__.py +makes it a package\n    model.py +the file to edit$", ended.out, re.M
    )
    assert list(Path.cwd().iterdir()) == []


def test_json_holds_all_that_was_done(scaffold, catalogue):
    catalogue()
    done = json.loads(scaffold("new", "tagger", "my-2nd_model", "--json").out)
    assert done["path"] == str(Path.cwd() / "my-2nd_model")
    assert (done["project"], done["package"], done["template"]) == ("my-2nd_model", "my_2nd_model", "tagger")
    assert (done["written"], done["versioning"], done["bare"]) == (True, "committed", False)
    assert done["next"] == ["cd my-2nd_model"]
    assert {"path": "README.md", "purpose": "what to run", "file_class": "managed"} in done["files"]


def test_inside_a_repository_it_says_that_it_makes_none(scaffold, catalogue):
    catalogue()
    subprocess.run(["git", "init", "-q"], check=True)
    assert "without a repository: inside another repository." in scaffold("new", "tagger", "mymodel").out


@pytest.mark.parametrize(
    "arguments, code, error",
    [
        (["taggr", "mymodel"], 2, "no template is called 'taggr'"),
        (["tagger", "a/b"], 2, "'a/b' cannot be the name of a project"),
        (["tagger", "torch"], 2, "'torch' cannot be the name of a project"),
        (["tagger", "a\x1b[31m"], 2, "'a\\x1b[31m' cannot be the name of a project"),
        (["tagger", "mymodel", "--set", "size"], 2, "'size' is not of the form KEY=VALUE"),
        (["tagger", "mymodel", "--set", "size=huge"], 2, "'huge' is no answer to 'size' [size]"),
        (["tagger", "mymodel", "--set", "sise=small"], 2, "the template asks no question 'sise' [sise]"),
        (["tagger", "mymodel", "--into", "nowhere"], 2, "does not exist"),
        (["tagger", "mymodel", "--answers", "nowhere.yaml"], 2, "the file of answers cannot be used [nowhere.yaml]"),
        (["tagger", "taken"], 3, "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_form(scaffold, catalogue, arguments, code, error):
    catalogue()
    Path("taken").mkdir()
    Path("taken/mine.txt").write_text("mine")
    ended = scaffold("new", *arguments)
    assert (ended.code, ended.out) == (code, "")
    lines = ended.err.splitlines()
    assert lines[0].startswith("error: ")
    assert error in lines[0]
    assert [line.split()[0] for line in lines[1:]] == ["because:", "fix:"]
    assert [path.name for path in Path.cwd().iterdir()] == ["taken"]


@pytest.mark.parametrize(
    "content, line, because",
    [
        ("size: [", 1, "expected the node content"),
        ("size: small\n - x: y\n", 2, "mapping values are not allowed here"),
        ("- size\n", None, "expected keys and values, got ['size']"),
        ("1: 2\n", None, "expected keys and values"),
        ("", None, "expected keys and values, got None"),
    ],
)
def test_a_file_of_answers_is_named_with_its_line(scaffold, catalogue, content, line, because):
    catalogue()
    Path("answers.yaml").write_text(content)
    ended = scaffold("new", "tagger", "mymodel", "--answers", "answers.yaml", "--json")
    error = json.loads(ended.out)["error"]
    assert (ended.code, error["file"], error["code"]) == (2, "answers.yaml", "usage.answers-file")
    assert because in error["because"]
    assert line is None or error["line"] == line


def test_errors_as_json_go_to_standard_output(scaffold, catalogue):
    catalogue()
    ended = scaffold("new", "taggr", "mymodel", "--json")
    assert (ended.code, ended.err) == (2, "")
    assert json.loads(ended.out)["error"] == {
        "code": "usage.template",
        "exit": 2,
        "message": "no template is called 'taggr'",
        "because": "there are tagger",
        "details": [],
        "file": None,
        "line": None,
        "key": None,
        "fix": "did you mean 'tagger'?",
    }


@pytest.mark.parametrize("arguments, places", [([], "TEMPLATE and NAME are"), (["tagger"], "NAME is")])
def test_without_a_terminal_nothing_is_asked(scaffold, catalogue, arguments, places):
    catalogue()
    ended = scaffold("new", *arguments)
    assert ended.code == 2
    assert f"error: {places} missing" in ended.err
    assert "fix: scaffold new TEMPLATE NAME" in ended.err


def at_a_terminal(arguments: list[str], replies: list[bytes]) -> tuple[int, str]:
    """Run the command at a pseudo-terminal, type one reply for each question, and return its exit code and screen."""
    process, terminal = pty.fork()
    if not process:
        os.execv(sys.executable, [sys.executable, "-m", "scaffold", *arguments])
    screen = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], 20)
        try:
            part = os.read(terminal, 4096) if ready else b""
        except OSError:
            part = b""
        if not part:
            break
        screen += part
        if replies and screen.rstrip(b" ").endswith(b":"):
            time.sleep(0.02)
            os.write(terminal, replies.pop(0))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), screen.decode().replace("\r\n", "\n")


def test_at_a_terminal_it_asks_and_prints_the_same_as_one_command(catalogue, scaffold):
    catalogue()
    replies = [b"tagger\n", b"My Model\n", b"mymodel\n", b"\n", b"It's mine\n", b"huge\n", b"large\n", b"y\n"]
    code, screen = at_a_terminal(["new", "--no-git"], replies)
    assert code == 0, screen
    assert "allowed are a-z" in screen
    assert "expected one of small, large" in screen
    repeated = next(line for line in screen.splitlines() if line.startswith("  scaffold new"))
    assert repeated.strip() == (
        "scaffold new tagger mymodel --set 'description=It'\"'\"'s mine' --set size=large --set extra=true --no-git"
    )
    assert "It's mine" in Path("mymodel/README.md").read_text()


def test_the_one_command_brings_the_same_class_along(catalogue, scaffold):
    brings = (
        "{model_file: '{{ package }}/model.py', model_conf: model.yaml, target: t, facts: {}, inputs: [], targets: []}"
    )
    catalogue({"other/template.yml": f"summary: s\ndata:\n  brings: {brings}\n"})
    Path("mine.py").write_text("class Mine:\n    pass\n", encoding="utf-8")
    code, screen = at_a_terminal(["new", "other", "--from", "mine.py:Mine"], [b"mymodel\n", b"\n", b"\n"])
    assert code == 0, screen
    assert "  scaffold new other mymodel --from mine.py:Mine\n" in screen


def test_at_a_terminal_nothing_is_asked_when_template_and_name_are_given(catalogue, scaffold):
    catalogue()
    code, screen = at_a_terminal(["new", "tagger", "mymodel"], [])
    assert (code, "The same without questions" in screen) == (0, False)


def test_ctrl_c_at_a_question_writes_nothing(catalogue, scaffold):
    catalogue()
    code, screen = at_a_terminal(["new", "tagger"], [b"\x03"])
    assert code == 130
    assert "interrupted; nothing was written" in screen
    assert list(Path.cwd().iterdir()) == []

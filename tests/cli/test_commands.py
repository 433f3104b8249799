"""The other commands, the exit codes, and what the command line does when it is called wrongly."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import scaffold as package
from scaffold import errors
from scaffold.cli import main

PYTHON = [sys.executable, "-m", "scaffold"]


def test_list_names_each_template_in_a_line(scaffold, catalogue):
    catalogue({"other/template.yml": "summary: Another one\n"})
    assert scaffold("list").out == "other   Another one\ntagger  A label for each word\n"
    assert json.loads(scaffold("list", "--json").out)["templates"][1] == {
        "name": "tagger",
        "version": "1.2.0",
        "summary": "A label for each word",
    }


def test_an_empty_catalogue_is_listed_as_nothing(scaffold, tmp_path, monkeypatch):
    (tmp_path / "templates/_base").mkdir(parents=True)
    monkeypatch.setenv("SCAFFOLD_TEMPLATES", str(tmp_path / "templates"))
    assert scaffold("list") == type(scaffold("list"))(0, "", "")


def test_show_prints_questions_and_files(scaffold, catalogue):
    catalogue()
    out = scaffold("show", "tagger").out
    assert out.startswith("tagger 1.2.0\n  A label for each word\n\nQuestions: answer with --set NAME=VALUE\n")
    assert re.search(r"^  size +choice +small +How large\. One of: small, large\.$", out, re.M)
    assert re.search(r"^  extra +true/false +false +Whether there is more\.$", out, re.M)
    assert re.search(r"^  data/\n    train.tsv +a sample$", out, re.M)


def test_show_gives_the_same_as_data(scaffold, catalogue):
    catalogue()
    shown = json.loads(scaffold("show", "tagger", "--json").out)
    assert shown["edit"] == "mymodel/model.py"
    assert shown["questions"][2] == {
        "name": "size",
        "kind": "choice",
        "default": "small",
        "help": "How large.",
        "choices": ["small", "large"],
        "free_text": False,
    }
    assert {"path": "conf/train.yaml", "purpose": "", "file_class": "managed"} in shown["files"]
    assert list(Path.cwd().iterdir()) == []


def test_version_and_help_end_well(scaffold):
    assert scaffold("--version").out == f"scaffold {package.__version__}\n"
    assert "new         Write a project called NAME from TEMPLATE." in scaffold("--help").out
    assert scaffold().out == scaffold("--help").out
    assert "--into" in scaffold("new", "-h").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_the_script_of_a_shell(scaffold, shell):
    ended = scaffold("completion", shell)
    assert ended.code == 0
    assert "_SCAFFOLD_COMPLETE" in ended.out


def test_a_shell_completes_the_names_of_templates(catalogue):
    catalogue({"other/template.yml": "summary: s\n"})
    completing = {"_SCAFFOLD_COMPLETE": "bash_complete", "COMP_WORDS": "scaffold new t", "COMP_CWORD": "2"}
    ended = subprocess.run(PYTHON, env=os.environ | completing, capture_output=True, text=True)
    assert ended.stdout == "plain,tagger\n"


@pytest.mark.parametrize(
    "arguments, error, fix",
    [
        (["nwe"], "there is no command 'nwe'", "did you mean `scaffold new`?"),
        (["zzz"], "there is no command 'zzz'", "`scaffold --help` explains them"),
        (["new", "--bear"], "no such option '--bear'", "did you mean --bare?"),
        (["--verson"], "no such option '--verson'", "did you mean --version?"),
        (["new", "a", "b", "c"], "got unexpected extra argument", "`scaffold new --help` shows what there is"),
        (["show"], "missing argument 'TEMPLATE'", "`scaffold show --help` shows what there is"),
        (["new", "--into"], "option '--into' requires an argument", "`scaffold --help` shows what there is"),
        (["completion", "tcsh"], "'tcsh' is not one of", "`scaffold completion --help` shows what there is"),
    ],
)
def test_a_wrong_call_is_explained_in_one_form(scaffold, arguments, error, fix):
    ended = scaffold(*arguments)
    first, because, last = ended.err.splitlines()
    assert (ended.code, ended.out) == (2, "")
    assert error in first
    assert because.startswith("  because: ")
    assert last == f"  fix: {fix}"


def test_every_class_of_error_has_its_documented_exit_code():
    classes = {
        "UsageError": 2,
        "ConfigError": 2,
        "RefusedError": 3,
        "EnvironmentFault": 4,
        "ArtefactError": 5,
        "DataError": 7,
        "DivergedError": 8,
        "OutOfMemory": 9,
    }
    assert {name: getattr(errors, name).exit_code for name in classes} == classes


def test_a_template_that_cannot_be_read_is_named_beside_the_others_and_ends_with_5(scaffold, catalogue):
    root = catalogue({"broken/template.yml": "summary: [\n"})
    ended = scaffold("list")
    assert (ended.code, ended.out) == (5, "tagger  A label for each word\n")
    assert ended.err.startswith(f"error: a template cannot be read [{root / 'broken/template.yml'}]\n")
    assert f"fix: mend it, or name another folder in SCAFFOLD_TEMPLATES, which is '{root}'" in ended.err
    listed = json.loads(scaffold("list", "--json").out)
    assert [template["name"] for template in listed["templates"]] == ["tagger"]
    assert [error["file"] for error in listed["errors"]] == [str(root / "broken/template.yml")]


def test_what_all_templates_lack_is_said_once(scaffold, catalogue):
    catalogue({"_base/template.yml": "summary: [\n", "other/template.yml": "summary: Another one\n"})
    ended = scaffold("list")
    assert (ended.code, ended.out, ended.err.count("error:")) == (5, "", 1)


def test_a_fault_of_ours_is_short_and_debug_shows_where(scaffold, catalogue, monkeypatch):
    catalogue()
    monkeypatch.setattr("scaffold.project.catalog.template_names", lambda root: 1 // 0)
    short, long = scaffold("list"), scaffold("list", "--debug")
    assert (short.code, long.code) == (1, 1)
    assert short.err.splitlines() == [
        "error: an unexpected error, which is a fault of scaffold",
        "  because: ZeroDivisionError: integer division or modulo by zero",
        "  fix: run again with --debug, and report what it prints",
    ]
    assert "Traceback" in long.err
    assert json.loads(scaffold("list", "--json").out)["error"]["exit"] == 1


def run(arguments: list[str], **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PYTHON, *arguments], text=True, stderr=subprocess.PIPE, timeout=60, **options)


def test_a_reader_that_stops_reading_is_no_error():
    read, write = os.pipe()
    os.close(read)
    ended = run(["list"], stdout=write)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_full_disk_behind_standard_output_is_the_machine_s_fault():
    if not Path("/dev/full").exists():
        pytest.skip("this machine has no /dev/full")
    with Path("/dev/full").open("w") as full:
        ended = run(["list"], stdout=full)
    assert ended.returncode == 4
    assert "because: No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_closed_standard_output_is_no_error():
    ended = run(["list"], stdout=None, preexec_fn=lambda: os.close(1))
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "setting",
    [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C"}, {"TERM": "dumb"}, {"HOME": "/no"}],
)
def test_it_works_in_a_poor_environment(catalogue, tmp_path, setting):
    catalogue()
    (tmp_path / "schön").mkdir()
    arguments = ["new", "tagger", "mymodel", "--into", str(tmp_path / "schön"), "--set", "description=größer 😀"]
    ended = run(arguments, stdout=subprocess.PIPE, env=os.environ | setting)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "größer 😀" in (tmp_path / "schön/mymodel/README.md").read_text(encoding="utf-8")


LOADED = (
    "import sys; from scaffold.cli import main; main(sys.argv[1:]); print('\\n'.join(sys.modules), file=sys.stderr)"
)


@pytest.mark.parametrize(
    "argument, absent",
    [
        ("--help", {"copier", "torch", "rich", "pydantic", "yaml", "jinja2", "pathlib", "scaffold.project"}),
        ("list", {"copier", "torch", "rich", "pydantic", "jinja2"}),
    ],
)
def test_a_quick_command_loads_nothing_slow(argument, absent):
    ended = subprocess.run([sys.executable, "-c", LOADED, argument], capture_output=True, text=True, check=True)
    assert absent.isdisjoint(ended.stderr.split())


def test_main_leaves_the_handlers_of_signals_as_they_were():
    import signal

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    main(["--version"])
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_list_shows_what_the_project_registers(scaffold):
    Path("mine").mkdir()
    Path("mine/__init__.py").touch()
    text = "from scaffold.runtime import register\n\n\n@register('my-adam', 'optimizer')\nclass Adam:\n    pass\n"
    Path("mine/optim.py").write_text(text, encoding="utf-8")
    assert scaffold("list", "--registered") == type(scaffold("list"))(
        0, "optimizer  my-adam  mine.optim.Adam  mine/optim.py:4\n", ""
    )
    assert json.loads(scaffold("list", "--registered", "--json").out)["registered"] == [
        {"kind": "optimizer", "name": "my-adam", "path": "mine.optim.Adam", "file": "mine/optim.py", "line": 4}
    ]


def test_listing_what_is_registered_says_where_two_objects_have_one_name(scaffold):
    Path("mine").mkdir()
    Path("mine/__init__.py").touch()
    for name in ("one", "two"):
        text = "from scaffold.runtime import register\n\n\n@register('same', 'metric')\ndef measure(): ...\n"
        Path(f"mine/{name}.py").write_text(text, encoding="utf-8")
    result = scaffold("list", "--registered")
    assert (result.code, result.out) == (3, "")
    assert "mine.one.measure in mine/one.py:4, and mine.two.measure in mine/two.py:4" in result.err

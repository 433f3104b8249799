"""What the tests of several folders share: a small catalogue of templates, and the command line as a function."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scaffold.cli import main

# set before torch is loaded, here and in the processes that tests start: tests share the cores
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
# a make that runs the tests must not change what the makes in them print
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
    os.environ.pop(name, None)
# whoever runs the tests in the background has it ignored, and so would the processes that tests interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)
REPOSITORY = Path(__file__).parents[1]

SMALL = {
    "_base/template.yml": """
        version: 1.2.0
        edit: "{{ package }}/model.py"
        questions:
          package: {type: identifier, default: "{{ package }}", help: The package.}
          description: {type: str, free_text: true, default: "About {{ project }}.", help: What it is for.}
        files:
          README.md: {purpose: what to run}
          "data/*": {purpose: a sample, class: seed}
          "{{ package }}/__init__.py": {purpose: makes it a package}
          "{{ package }}/model.py": {purpose: the file to edit}
    """,
    "_base/README.md.jinja": "# {{ project }}\n\n{{ description_text }}\n",
    "_base/data/train.tsv.jinja": "good\tyes\n",
    "_base/{{ package }}/__init__.py.jinja": "",
    "_base/{{ package }}/model.py.jinja": "class {{ class_name }}:\n    about = {{ description_py }}\n",
    "tagger/template.yml": """
        summary: A label for each word
        questions:
          size: {type: choice, choices: [small, large], default: small, help: How large.}
          extra: {type: bool, default: false, help: Whether there is more.}
    """,
    "tagger/conf/train.yaml.jinja": "size: {{ size_yaml }}\nabout: {{ description_yaml }}\n",
    "tagger/_when/bare=true/{{ package }}/model.py.jinja": "class {{ class_name }}:\n    pass\n",
    "tagger/_when/extra=true/extra.py.jinja": "extra = {{ extra_py }}\n",
}


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


def write_files(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], Path]:
    """Write the small catalogue, changed or extended by some files, and have it used."""

    def make(files: dict[str, str] | None = None) -> Path:
        root = write_files(tmp_path / "templates", SMALL | (files or {}))
        monkeypatch.setenv("SCAFFOLD_TEMPLATES", str(root))
        return root

    return make


@pytest.fixture
def scaffold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command line in an empty folder, as a person of whom git knows nothing."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(arguments)
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Return a folder of real data by its name, or skip the test where there is none."""

    def find(name: str) -> Path:
        folder = Path(os.environ.get("SCAFFOLD_DATA") or REPOSITORY.parent / "shared" / "data") / name
        if not folder.is_dir():
            pytest.skip(f"needs the data set {name}: set SCAFFOLD_DATA to the folder that holds it")
        return folder

    return find


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Path]]:
    """Enter a project as its own scripts do; its modules are loaded anew, and forgotten with the test."""
    names: set[str] = set()

    def forget() -> None:
        for module in [name for name in sys.modules if name.partition(".")[0] in names]:
            del sys.modules[module]

    def enter(folder: Path) -> Path:
        names.update(path.stem for path in folder.glob("*.py"))
        names.update(path.parent.name for path in folder.glob("*/__init__.py"))
        forget()
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        return folder

    yield enter
    forget()


@pytest.fixture(autouse=True)
def _signals_are_given_back() -> Iterator[None]:
    """Let no test, and nothing that it calls, leave Ctrl-C to somebody else."""
    before = signal.getsignal(signal.SIGINT)
    yield
    after = signal.signal(signal.SIGINT, signal.default_int_handler)
    assert after is before

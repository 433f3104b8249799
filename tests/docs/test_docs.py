"""Every page is followed as a person would: its commands are typed, its files saved, its output looked for.

A fence with a title is a file of the current folder. `text` after commands is what they print, with … for anything. A
comment before a fence says what else holds: `<!-- ends with 2 -->`, or `<!-- read only: reason -->`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(
    r"^(?:<!-- (?P<note>.+?) -->\n+)?^```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
# what a test cannot do again inside a test: it is looked up, not run
NOT_RUN = {
    r"pip install ": "installs packages",
    r"make (demo|test|lint|format|docs|bench|kills|clean)\b": "works on the repository itself, for minutes",
    r"python (benchmarks/\S+\.py)": "takes minutes",
    r"git clone ": "needs a network",
}
PARSERS = {"yaml": yaml.safe_load, "json": json.loads, "python": lambda text: compile(text, "snippet", "exec")}


@dataclass(frozen=True)
class Block:
    """One fence of a page."""

    page: Path
    line: int
    language: str
    text: str
    title: str
    note: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(REPOSITORY)}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(FENCE.findall(text)), f"a fence of {page} is lost"
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        yield Block(page, line, match["language"], match["text"], match["title"] or "", match["note"] or "")


@dataclass
class Reader:
    """Follows a page: where the person is, and what the last commands printed."""

    here: Path
    environment: dict[str, str]
    output: str = ""

    def follow(self, block: Block) -> None:
        """Do what a fence asks for."""
        if block.title:
            self.save(block)
        elif block.note.startswith("read only: "):
            PARSERS.get(block.language, str)(block.text)
        elif block.language == "bash":
            self.type(block)
        elif block.language == "python":
            self.run(block, [sys.executable, "-c", self.prelude() + block.text], 0)
        elif block.language == "text":
            assert is_promised(block.text, self.output), f"{block.place} promises\n{block.text}\ngot\n{self.output}"
        else:
            PARSERS[block.language](block.text)

    def save(self, block: Block) -> None:
        """Write a file that the page shows in full."""
        path = self.here / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        PARSERS.get(block.language, str)(block.text)

    def type(self, block: Block) -> None:
        """Run the commands, and stay where they lead."""
        lines = [line for line in block.text.splitlines() if not self.is_left_out(line, block)]
        place = self.here / ".place"
        self.run(block, ["bash", "-e", "-c", "\n".join([*lines, f"pwd > {shlex.quote(str(place))}"])], ends_with(block))
        if place.exists():
            self.here = Path(place.read_text(encoding="utf-8").strip())
            place.unlink()

    def is_left_out(self, line: str, block: Block) -> bool:
        """Say whether a command cannot be run here; what it names must exist all the same."""
        for pattern in NOT_RUN:
            match = re.match(pattern, line)
            inside_a_project = (self.here / "Makefile").exists() and line.startswith("make ")
            if not match or inside_a_project:
                continue
            if line.startswith("make "):
                assert match[1] in targets(REPOSITORY / "Makefile"), f"{block.place}: no target {match[1]}"
            if line.startswith("python "):
                assert (REPOSITORY / match[1]).is_file(), f"{block.place}: no file {match[1]}"
            return True
        return False

    def run(self, block: Block, command: list[str], expected: int) -> None:
        """Run a program in the current folder and keep what it prints."""
        result = subprocess.run(
            command,
            cwd=self.here,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=False,
        )
        self.output = result.stdout
        assert result.returncode == expected, f"{block.place} ended with {result.returncode}:\n{self.output}"

    def prelude(self) -> str:
        """Return the imports that a snippet of a model takes for granted: those of the project's own model.py."""
        return "from mymodel.model import *\n" if (self.here / "mymodel" / "model.py").exists() else ""


def ends_with(block: Block) -> int:
    return int(block.note.removeprefix("ends with ")) if block.note.startswith("ends with ") else 0


def is_promised(promise: str, output: str) -> bool:
    """Say whether an output holds the promised lines in their order, with anything for each …."""
    words = [re.escape(part) for part in promise.strip().split("…")]
    return re.search(".*?".join(words), "\n".join(map(str.rstrip, output.splitlines())), re.DOTALL) is not None


def targets(makefile: Path) -> set[str]:
    return set(re.findall(r"^([a-z]+):.*##", makefile.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Return a person at an empty folder, for whom `scaffold` and `python` are this checkout's."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, arguments in {"scaffold": " -m scaffold", "python": ""}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{arguments} "$@"\n', encoding="utf-8")
        (programs / name).chmod(0o755)
    (tmp_path / "here").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SCAFFOLD_", "MAKE", "GIT_"))}
    return Reader(
        tmp_path / "here",
        kept
        | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHON": sys.executable,  # the Makefile of a project takes it from here
            "PYTHONPATH": str(REPOSITORY),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "120",
        },
    )


def name_of(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_does_what_it_says(page, reader):
    for block in blocks_of(page):
        reader.follow(block)

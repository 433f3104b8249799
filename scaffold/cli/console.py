"""The only place that prints: results to standard output, notes and errors to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaffold.errors import ScaffoldError


def line(text: str = "") -> None:
    """Print one line of a result; characters that the terminal cannot show are escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def note(text: str) -> None:
    """Print a line that is not part of the result."""
    print(text, file=sys.stderr)


def data(content: Any) -> None:
    """Print a result for programs."""
    import json

    line(json.dumps(content, indent=2, ensure_ascii=False))


def columns(rows: Iterable[Sequence[str]], indent: str = "  ") -> None:
    """Print rows with their cells below one another."""
    cells = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line((indent + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))).rstrip())


def tree(files: Iterable[tuple[str, str]]) -> None:
    """Print paths as an indented tree, each with what it is for."""
    rows: list[tuple[str, str]] = []
    shown: set[str] = set()
    for path, purpose in files:
        *folders, name = path.split("/")
        for depth, folder in enumerate(folders):
            above = "/".join(folders[: depth + 1])
            if above not in shown:
                shown.add(above)
                rows.append(("  " * depth + folder + "/", ""))
        rows.append(("  " * len(folders) + name, purpose))
    columns(rows)


def failure(error: ScaffoldError, *, as_json: bool) -> None:
    """Print an error: as text on standard error, or as JSON on standard output."""
    if as_json:
        data(error.as_json())
    else:
        note(str(error))
    flush()


def flush() -> None:
    """Write out what was printed, so that a closed pipe or a full disk shows itself now."""
    if sys.stdout:
        sys.stdout.flush()


def discard() -> None:
    """Let the rest of the output vanish: nobody can read it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


def is_interactive() -> bool:
    """Say whether a person can be asked: input and output are a terminal."""
    return bool(sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty())

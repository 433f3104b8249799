"""Measures rivals fairly: every round runs each once, in alternating order, and medians are compared."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Subject = Sequence[str] | Callable[[], object]


def compare(subjects: Mapping[str, Subject], rounds: int = 5) -> dict[str, list[float]]:
    """Return the wall seconds of every subject, one for each round, after a warm-up round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        order = list(subjects) if number % 2 else list(reversed(subjects))
        for name in order:
            elapsed = timed(subjects[name])
            if number:
                seconds[name].append(elapsed)
    return seconds


def timed(subject: Subject) -> float:
    """Return how many seconds a command or a function takes; a command that fails raises."""
    start = time.perf_counter()
    if callable(subject):
        subject()
    else:
        subprocess.run(list(subject), check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - start


def ratio(seconds: Mapping[str, list[float]], name: str, to: str) -> float:
    """Return how many times as long one subject takes as another: the median of the ratios within each round."""
    return statistics.median(ours / theirs for ours, theirs in zip(seconds[name], seconds[to], strict=True))


def table(rows: Iterable[Sequence[object]]) -> str:
    """Return rows, the first of which is the header, as a table in Markdown."""
    header, *body = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (header, *body)) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *body]
    return "\n".join(
        "| " + " | ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def hardware() -> str:
    """Return one line that says on what the figures were measured."""
    cpu = next((line.partition(":")[2].strip() for line in _cpu_lines() if line.startswith("model name")), "")
    return f"{os.cpu_count()} × {cpu or platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []

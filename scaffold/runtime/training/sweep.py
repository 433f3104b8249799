"""The runs of a sweep that this process has finished, for the table at its end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scaffold.runtime.training.monitor import Selection

Line = tuple[str, str, str]
FINISHED: list[tuple[str, float, Line]] = []


def note(overrides: str, selection: Selection, folder: str) -> None:
    """Keep what was set for a run, what its validations said, and its folder."""
    best = selection.best
    if best is None:  # behind all others
        figure, rank = "no validation", math.inf
    else:
        figure, rank = f"{selection.monitor} {best:.4f}", -best if selection.mode == "max" else best
    FINISHED.append((selection.monitor, rank, (overrides, figure, folder)))


def closing_table() -> list[Line]:
    """Return a line for each run, the best first, and forget them."""
    lines = [line for _, _, line in sorted(FINISHED)]
    FINISHED.clear()
    return lines

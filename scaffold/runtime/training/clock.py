"""How long a run has been trained, in all of its processes."""

from __future__ import annotations

import time


class Clock:
    """Counts the seconds of this process, and those of earlier ones up to the checkpoint from which the run goes on."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self._began

    def go_on(self, seconds: float) -> None:
        """Count what earlier processes took, too."""
        self._began -= seconds

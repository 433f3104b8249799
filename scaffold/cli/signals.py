"""SIGINT and SIGTERM as exceptions that carry their exit code, and are remembered where a library loses them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The process was told to stop; `exit_code` is 130 after SIGINT, 143 after SIGTERM."""

    def __init__(self, number: int = signal.SIGINT) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Interruptions:
    """Raises Interrupted when a signal arrives; `first` is the first one, None before."""

    def __init__(self) -> None:
        self.first: Interrupted | None = None

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.first = self.first or Interrupted(number)
        raise self.first


@contextmanager
def interruptions() -> Iterator[Interruptions]:
    """Handle SIGINT and SIGTERM in the main thread, unless the process was started to ignore them."""
    seen = Interruptions()
    if threading.current_thread() is not threading.main_thread():
        yield seen
        return
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, seen.stop) for number in numbers}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""SIGTERM as an exception, so that it cleans up as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """The process was told to stop by SIGTERM."""


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def termination_raised() -> Iterator[None]:
    """Raise Terminated in the main thread when SIGTERM arrives."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""Importing PyTorch and Lightning takes seconds; a quarter of them go to the garbage collector, which finds nothing."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the garbage collector off while modules are loaded, and away from them afterwards.

    Only for the first to load PyTorch: later there may be tensors, which must not be kept with the modules.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if "torch" in sys.modules:
            gc.freeze()
            atexit.register(gc.unfreeze)  # else triton's extension complains at the end that its objects leak
        gc.enable()


@contextmanager
def interruptible() -> Iterator[None]:
    """Keep an interrupt back until modules are loaded, and let it end a script in one line; a second one is at once.

    In the midst of an import, libraries turn an interrupt into errors of their own, such as an endless recursion.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if received:
            signal.default_int_handler(number, frame)
        received.append(number)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if received:
            sys.excepthook = _without_traceback  # Python asks it only when nobody has caught the interrupt
    if received:
        raise KeyboardInterrupt


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)

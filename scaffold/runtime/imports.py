"""Importing PyTorch and Lightning takes seconds; a quarter of them go to the garbage collector, which finds nothing."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType


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
        gc.enable()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an interrupt end a script in one line: a traceback through a hundred modules says nothing."""
    try:
        yield
    except KeyboardInterrupt:
        sys.excepthook = _without_traceback  # Python asks it only when nobody has caught the interrupt
        raise


def _without_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)

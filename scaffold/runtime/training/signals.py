"""What signals do to a run: training stops where its state is whole, all else at once; the exit code says which."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 75}


class Interrupted(SystemExit):
    """A signal ended the process; the exit code says which."""


class Signals:
    """Notes a signal until training has come to a state that can be saved; a second one stops it at once."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.received: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Take the signals over; Lightning gives them back after training."""
        for number in EXIT_CODES if _is_main_thread() else ():
            self._before[number] = signal.signal(number, self._receive)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over and give them back, where there is no Lightning to do so."""
        self.listen()
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def exit_code(self, trainer: Any) -> int:
        """Return the exit code for a signal that any process got, else 0; all processes ask at the same batch."""
        own = 0 if self.received is None else EXIT_CODES[signal.Signals(self.received)]
        if trainer.world_size == 1:
            return own
        import torch  # here, so that printing an error loads no torch

        return int(trainer.strategy.reduce(torch.tensor(own, device=trainer.strategy.root_device), reduce_op="max"))

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            raise Interrupted(EXIT_CODES[signal.Signals(number)])
        self.received = number
        self.tell(f"{signal.Signals(number).name}: saving at the next optimizer step (again to stop at once)")


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGUSR1 end a command as an exit does, so that it cleans up; SIGINT does so by itself."""
    free = [number for number in EXIT_CODES if signal.getsignal(number) == signal.SIG_DFL and _is_main_thread()]
    for number in free:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def leave_to_main_process(_: int = 0) -> None:
    """Let only the main process end this worker: a signal to all of them must leave the former time to save."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS, where nothing says who sent a signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def _end(number: int, _: FrameType | None) -> None:
    raise Interrupted(EXIT_CODES[signal.Signals(number)])


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()

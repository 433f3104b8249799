"""The temporary folder beside a project in which it is made, and the one step that puts it in its place."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from scaffold.errors import EnvironmentFault, RefusedError, ScaffoldError, UsageError, shown

PATIENCE = 20
TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR})
REASONS = {
    errno.ENOSPC: "no space is left on the device",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file may not become that large here",
    errno.ENAMETOOLONG: "the path is too long",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


def check_target(target: Path) -> None:
    """Raise unless a project can be put there: nothing, or an empty folder, in a folder that exists."""
    if target.is_symlink():
        raise refused(target, "it is a symbolic link")
    if target.exists() and not target.is_dir():
        raise refused(target, "it is a file")
    if target.is_dir() and any(target.iterdir()):
        raise refused(target, "the folder exists and is not empty")
    if target.parent.exists() and not target.parent.is_dir():
        raise refused(target, f"{target.parent} is a file", "choose a folder with --into")
    if not target.parent.is_dir():
        raise UsageError(
            f"the folder {shown(str(target.parent))} does not exist",
            because="a project is written into an existing folder",
            fix=f"mkdir -p {target.parent}",
            code="usage.into",
        )


def refused(
    target: Path, because: str, fix: str = "choose another name, or another parent folder with --into"
) -> RefusedError:
    """Return the error of a place that is taken."""
    return RefusedError(
        f"{shown(str(target))} cannot be written",
        because=because,
        fix=fix,
        code="refused.exists",
    )


@contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside the target, and leave nothing of it behind."""
    folder = target.with_name(f".{target.name}.tmp-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        folder.mkdir()
        yield folder
    finally:
        with undisturbed():
            remove(folder)


def remove(folder: Path) -> None:
    """Remove a temporary folder, also when a git that outlived its run still writes into it for a moment."""
    for _ in range(PATIENCE):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def sweep(target: Path) -> None:
    """Remove the temporary folders of earlier runs for this target that were killed."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.tmp-(\d+)-[0-9a-f]{{8}}")
    for path in target.parent.glob(f".{target.name}.tmp-*"):
        match = pattern.fullmatch(path.name)
        if match and not is_running(int(match[1])):
            remove(path)


def is_running(process: int) -> bool:
    """Say whether a process of that number exists."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def publish(draft: Path, target: Path) -> None:
    """Put a finished project in its place, in one step that a crash or a loss of power cannot halve."""
    with ThreadPoolExecutor(8) as pool:  # together they share a few writes of the disk: ten times as fast
        list(pool.map(synchronise, (*draft.rglob("*"), draft)))
    try:
        draft.rename(target)
    except OSError as error:
        if error.errno in TAKEN:
            raise refused(target, "something else was written there in the meantime") from error
        raise
    synchronise(target.parent)


def synchronise(path: Path) -> None:
    """Have the system write a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore SIGINT and SIGTERM during a short step that must not stop half-way, here and in a git that it calls."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    blocked = signal.pthread_sigmask(
        signal.SIG_BLOCK, handlers
    )  # git clears away what it writes, even if told to ignore
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def faults_explained(target: Path) -> Iterator[None]:
    """Turn what the system refuses into an EnvironmentFault that says where and why."""
    try:
        yield
    except ScaffoldError:
        raise
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write {shown(str(target))}; nothing was written",
            because=REASONS.get(error.errno or 0, error.strerror or str(error)),
            fix="choose another parent folder with --into, or make room and permission there",
            code="environment.write",
        ) from error

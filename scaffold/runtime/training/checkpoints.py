"""Checkpoints that survive a kill at any moment: written beside, synced, renamed, and verified before loading."""

from __future__ import annotations

import hashlib
import os
import pickle
import queue
import re
import threading
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader, BufferedWriter
from pathlib import Path
from typing import Any

import torch

from scaffold.errors import ArtefactError, RefusedError, UsageError, Where, listed, shown

SUFFIX = ".sha256"
PIECE = 1 << 20
FOREIGN_KEYS = {"_class_path", "_instantiator"}
DRAFT = re.compile(r"\..+\.(?P<pid>\d+)\.draft")


def save(state: Mapping[str, Any], path: str | Path) -> None:
    """Write `state`; whenever the process dies, the file at `path` is wholly the old or the new one, and verifies.

    The record `<name>.sha256` holds the old and the new digest while the file is being replaced.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    draft = _draft(path)
    try:
        digest = _write(state, draft)
        _refuse_unsafe(draft, path)
        _record(path, {*_digests_of_present(path), digest})
        draft.replace(path)
        _sync_folder(path.parent)
        _record(path, {digest}, durable=False)
    finally:
        draft.unlink(missing_ok=True)


def load(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return the verified content of a checkpoint: tensors and plain data, nothing that runs code."""
    with _opened(path) as (file, handle):
        _verified(file, handle)
        handle.seek(0)
        state = _unpickled(file, handle, map_location)
    return _plain_state(file, state)


def verify(path: str | Path) -> str:
    """Return the sha256 of an intact checkpoint: intact by its record or, without one, by its own checksums."""
    with _opened(path) as (file, handle):
        return _verified(file, handle)


def remove(path: str | Path) -> None:
    """Delete a checkpoint and its record."""
    path = Path(path)
    path.unlink(missing_ok=True)
    _record_of(path).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Delete the drafts that killed processes left in `folder`."""
    for file in folder.glob(".*.draft"):
        match = DRAFT.fullmatch(file.name)
        if match and not _alive(int(match["pid"])):
            file.unlink(missing_ok=True)


class _HashingWriter:
    """A binary file for torch.save that hashes beside the writing; sha256 in line would add half of the save time."""

    def __init__(self, file: BufferedWriter) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        # a short queue: it bounds the memory when hashing is slower than the disk
        self._chunks: queue.Queue[bytes | None] = queue.Queue(maxsize=4)
        self._thread = threading.Thread(target=self._consume, daemon=True)
        self._thread.start()

    def write(self, chunk: Any) -> int:
        view = memoryview(chunk)
        for start in range(0, len(view), PIECE):
            piece = bytes(view[start : start + PIECE])  # a copy: torch reuses the memory behind it
            self._chunks.put(piece)
            self._file.write(piece)
        return len(view)

    def flush(self) -> None:
        self._file.flush()

    def finish(self) -> str:
        self._chunks.put(None)
        self._thread.join()
        return self._hash.hexdigest()

    def _consume(self) -> None:
        while (chunk := self._chunks.get()) is not None:
            self._hash.update(chunk)


def _write(state: Mapping[str, Any], draft: Path) -> str:
    with draft.open("wb") as file:
        writer = _HashingWriter(file)
        try:
            torch.save(state, writer)  # type: ignore[arg-type] # torch asks for write and flush only
            _sync(file)
        except (OSError, RuntimeError) as error:
            raise _disk_error(error, draft.parent) from error
        finally:
            digest = writer.finish()
    return digest


def _disk_error(error: OSError | RuntimeError, folder: Path) -> BaseException:
    # torch hides the disk's own error behind one about its archive
    cause = error if isinstance(error, OSError) else error.__context__
    return OSError(cause.errno, cause.strerror, str(folder)) if isinstance(cause, OSError) else error


def _sync(file: BufferedWriter) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _draft(path: Path) -> Path:
    # the same folder: a rename is atomic only within one file system
    return path.with_name(f".{path.name}.{os.getpid()}.draft")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _record_of(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _record(path: Path, digests: Iterable[str], *, durable: bool = True) -> None:
    record = _record_of(path)
    draft = _draft(record)
    with draft.open("wb") as file:
        file.write("".join(f"{digest}  {path.name}\n" for digest in sorted(digests)).encode())
        if durable:  # the last record may get lost with the power: the one before it fits as well
            _sync(file)
    draft.replace(record)


def _recorded(path: Path) -> set[str]:
    try:
        lines = _record_of(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return set()
    return {line.split(maxsplit=1)[0] for line in lines if line.strip()}


def _digests_of_present(path: Path) -> set[str]:
    recorded = _recorded(path)
    if recorded or not path.is_file():
        return recorded
    with path.open("rb") as handle:
        return {_digest(handle)}


def _digest(handle: BufferedReader) -> str:
    return hashlib.file_digest(handle, "sha256").hexdigest()


def _refuse_unsafe(draft: Path, path: Path) -> None:
    unsafe = torch.serialization.get_unsafe_globals_in_checkpoint(draft)
    if unsafe:
        raise ArtefactError(
            f"the checkpoint would hold {listed(unsafe)}, which cannot be loaded safely",
            because="a checkpoint holds tensors and plain data only; save_hyperparameters or a state_dict gave it more",
            fix="save names and numbers, and build the objects again from them when loading",
            where=Where(file=str(path)),
            code="artefact.unsafe",
        )


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Path, BufferedReader]]:
    # one handle for verifying and loading: a training that is still running may replace the file in between
    if "://" in str(path):
        raise UsageError(
            f"a checkpoint is loaded from a file, not from {shown(str(path))}",
            because="what comes over the network cannot be verified before it is read",
            fix="download it together with its .sha256 file, then give the path",
        )
    file = _resolved(Path(path))
    with file.open("rb") as handle:
        yield file, handle


def _resolved(path: Path) -> Path:
    try:
        file = path.resolve(strict=True)
    except FileNotFoundError:
        raise _missing(path) from None
    except PermissionError:
        raise
    except (RuntimeError, OSError) as error:  # a loop of links is the one or the other, by Python's version
        raise _damaged(path, f"the path leads nowhere: {error}") from error
    if not file.is_file():
        raise _damaged(path, "it is a folder, not a file" if file.is_dir() else "it is not a regular file")
    return file


def _verified(file: Path, handle: BufferedReader) -> str:
    recorded = _recorded(file)
    digest = _digest(handle)
    # once more: a save that ended meanwhile has left only the newer digest, or has just added ours
    recorded |= _recorded(file)
    problem = _damage(handle)
    if problem is None and recorded and digest not in recorded:
        problem = f"its sha256 is {digest[:12]}…, its record {file.name}{SUFFIX} says {min(recorded)[:12]}…"
    if problem is None and not recorded:
        problem = _archive_damage(handle)
    if problem is not None:
        raise _damaged(file, problem)
    return digest


def _damage(handle: BufferedReader) -> str | None:
    size = handle.seek(0, os.SEEK_END)
    handle.seek(0)
    start = handle.read(16)
    if not size:
        return "the file is empty"
    if not start.startswith(b"PK\x03\x04"):
        return f"it does not start as a checkpoint does, but with {shown(start)}"
    if not zipfile.is_zipfile(handle):
        return f"it breaks off after {size / 1e6:.1f} MB"
    return None


def _archive_damage(handle: BufferedReader) -> str | None:
    try:
        with zipfile.ZipFile(handle) as archive:
            member = archive.testzip()
    except Exception as error:  # a flipped bit can ask for any compression, password or length
        return f"its archive cannot be read: {error}"
    return f"the checksum of its part {shown(member)} does not fit" if member else None


def _unpickled(file: Path, handle: BufferedReader, map_location: Any) -> Any:
    try:
        return torch.load(handle, map_location=map_location, weights_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"GLOBAL (\S+)", str(error))
        held = f"it holds {unsafe[1]}" if unsafe else "it holds more than tensors and plain data"
        raise _unsafe(file, held) from error
    except Exception as error:  # torch raises a dozen kinds for archives that are not its own
        raise _damaged(file, f"it cannot be read: {shown(str(error).partition(chr(10))[0])}") from error


def _plain_state(file: Path, state: Any) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise _damaged(file, f"expected a dict of states, got {type(state).__name__}")
    parameters = state.get("hyper_parameters")
    foreign = FOREIGN_KEYS & set(parameters) if isinstance(parameters, Mapping) else set()
    if foreign:
        raise _unsafe(file, f"its hyperparameters name code to run: {listed(sorted(foreign))}")
    return state


def _missing(path: Path) -> RefusedError:
    others = sorted(file.name for file in path.parent.glob("*.ckpt")) if path.parent.is_dir() else []
    return RefusedError(
        "there is no such checkpoint",
        because=f"the folder holds {listed(others)}" if others else "its folder holds no checkpoint either",
        fix=f"use {path.with_name(others[-1])}" if others else "train first, or name the folder of another run",
        where=Where(file=str(path)),
        code="refused.no-checkpoint",
    )


def _damaged(path: Path, because: str) -> ArtefactError:
    intact = _intact_neighbour(path)
    instead = f"use {intact}, which is intact, and is used where {path.name} is removed"
    return ArtefactError(
        "the checkpoint is damaged",
        because=because,
        fix=instead if intact else "copy it again from where it came, or train again",
        where=Where(file=str(path)),
        code="artefact.checkpoint",
    )


def _unsafe(path: Path, because: str) -> ArtefactError:
    return ArtefactError(
        "the checkpoint is not safe to load",
        because=f"{because}; a checkpoint of ours holds tensors and plain data only",
        fix="load only checkpoints that this project's training wrote",
        where=Where(file=str(path)),
        code="artefact.unsafe",
    )


def _intact_neighbour(path: Path) -> Path | None:
    for file in path.parent.glob("*.ckpt"):
        if file.name != path.name and file.is_file() and _recorded(file) and _matches(file):
            return file
    return None


def _matches(file: Path) -> bool:
    with file.open("rb") as handle:
        return _digest(handle) in _recorded(file)

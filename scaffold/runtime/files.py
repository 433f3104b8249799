"""Files that are either the old or the new one, whatever happens while they are written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with draft.open("w", encoding="utf-8", newline="\n") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(path)


def checksum(path: Path) -> str:
    """Return the sha256 of a file's content or, where reading it all would take too long, of a folder's listing."""
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "".join(f"{file.relative_to(path)}\t{file.stat().st_size}\n" for file in files)
    return hashlib.sha256(os.fsencode(listing)).hexdigest()


def sha256(path: Path) -> str:
    """Return the checksum of a file's content."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()

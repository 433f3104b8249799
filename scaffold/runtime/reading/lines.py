"""Cutting a file into lines without trusting it: bounded lengths, exact offsets, wrong encodings found early."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from scaffold.errors import DataError, EnvironmentFault, UsageError, Where, shown
from scaffold.runtime.samples import BadRow

MAX_ROW_BYTES = 1 << 20
UTF8_BOM = b"\xef\xbb\xbf"
EMPTY = (b"\n", b"\r\n")
# how a file begins that is no text -> what it is, and what to do with it
KINDS = {
    b"\x1f\x8b": ("is compressed", "unpack it first, for example with gunzip"),
    b"BZh": ("is compressed", "unpack it first, for example with bunzip2"),
    b"\xfd7zXZ": ("is compressed", "unpack it first, for example with unxz"),
    b"(\xb5/\xfd": ("is compressed", "unpack it first, for example with unzstd"),
    b"PK\x03\x04": ("is compressed, or a spreadsheet", "unpack it first with unzip, or save the spreadsheet as CSV"),
    b"PAR1": ("is Parquet", 'write it as JSONL: pandas.read_parquet(FILE).to_json(NEW, orient="records", lines=True)'),
    b"version https://git-lfs": ("is not here: this is what Git LFS keeps in its place", "run git lfs pull"),
}
UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


class Line(NamedTuple):
    """A stretch of a file: its first line's number, its offset, its bytes with the line end, and what is wrong."""

    number: int
    offset: int
    raw: bytes
    fault: str = ""

    @classmethod
    def joined(cls, lines: Sequence[Line]) -> Line:
        """Return lines that follow each other as one row, which is faulty where one of them is."""
        fault = next((line.fault for line in lines if line.fault), "")
        return lines[0]._replace(raw=b"" if fault else b"".join(line.raw for line in lines), fault=fault)


def open_data(path: Path, *, regular: bool = False) -> IO[bytes]:
    """Open a data file for reading, or say in one error why it cannot be read; `regular` refuses pipes."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise file_error(path, "A folder stands where a data file is expected.", fix="name a file in it")
        if regular and not stat.S_ISREG(mode):
            raise file_error(path, "The data must be a file that can be read twice.", fix="write it to a file first")
        return path.open("rb")
    except FileNotFoundError:
        raise no_file(path, "The data file does not exist.", fix="check its path") from None
    except OSError as problem:
        raise EnvironmentFault(
            "The data file cannot be read.",
            because=str(problem.strerror),
            fix="check its permissions",
            where=Where(file=str(path)),
        ) from None


def file_error(path: str | Path, what: str, *, fix: str, because: str = "", line: int | None = None) -> DataError:
    """Return the error of a file that is unfit as a whole."""
    return DataError(what, because=because, fix=fix, where=Where(file=str(path), line=line), code="data.file")


def no_file(path: str | Path, what: str, *, fix: str) -> UsageError:
    """Return the error of a path that leads nowhere: nothing is wrong with rows that nobody found."""
    return UsageError(what, fix=fix, where=Where(file=str(path)), code="usage.no-file")


def cut_lines(handle: IO[bytes], name: str, max_bytes: int = MAX_ROW_BYTES) -> Iterator[Line]:
    """Yield the lines of a file; only a line feed ends a line, and no line longer than `max_bytes` is held.

    Raises DataError where the file is no UTF-8 text at all.
    """
    raw = handle.readline(max_bytes)
    _check_start(raw, name)
    offset, number = 0, 1
    if raw.startswith(UTF8_BOM):
        offset = len(UTF8_BOM)
        raw = raw[offset:] + (b"" if raw.endswith(b"\n") else handle.readline(offset))
    while raw:
        if len(raw) >= max_bytes and not raw.endswith(b"\n"):
            size = len(raw) + _drain(handle, max_bytes)
            yield Line(number, offset, b"", f"expected a row of at most {max_bytes:,} bytes, got {size:,}")
        else:
            size = len(raw)
            yield Line(number, offset, raw)
        offset += size
        number += 1
        raw = handle.readline(max_bytes)


def without_empty(rows: Iterable[Line]) -> Iterator[Line]:
    """Leave out the empty lines at the end of a file; an empty line between rows is a fault."""
    first, count = 0, 0
    for row in rows:
        if row.raw in EMPTY:
            first, count = first if count else row.number, count + 1
            continue
        for number in range(first, first + count):
            yield Line(number, row.offset, b"", "expected a row, got an empty line")
        count = 0
        yield row


def text_of(raw: bytes) -> str:
    """Return the text of a row without its line end; raises BadRow where it is not clean UTF-8."""
    if b"\0" in raw:
        raise BadRow(f"expected text, got a NUL character at byte {raw.index(0) + 1} of the row")
    try:
        text = raw.decode()
    except UnicodeDecodeError as problem:
        byte = f"0x{raw[problem.start]:02x} at byte {problem.start + 1} of the row"
        raise BadRow(f"expected UTF-8 text, got {byte}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _drain(handle: IO[bytes], max_bytes: int) -> int:
    drained = 0
    while raw := handle.readline(max_bytes):
        drained += len(raw)
        if raw.endswith(b"\n"):
            break
    return drained


def _check_start(first: bytes, name: str) -> None:
    for magic, (kind, fix) in KINDS.items():
        if first.startswith(magic):
            raise file_error(name, f"The data file {kind}.", fix=fix)
    if first.startswith((b"\xff\xfe", b"\xfe\xff")) or first.count(b"\0") > max(1, len(first) // 3):
        code = "UTF-32" if first.startswith(UTF_32) else "UTF-16"
        raise file_error(
            name,
            f"The data file is not UTF-8 text; it looks like {code}.",
            because=f"it begins with {shown(first[:8])}",
            fix=f"convert it, for example with iconv -f {code} -t UTF-8",
        )
    if b"\r" in first.rstrip(b"\r") and not first.endswith(b"\n"):
        raise file_error(
            name,
            "The lines of the data file end in bare carriage returns.",
            because="only a line feed, with or without a carriage return before it, ends a row",
            fix="convert it, for example with tr '\\r' '\\n'",
        )

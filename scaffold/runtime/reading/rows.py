"""The rows of data files: offsets are held, contents are read when asked for; or a stream that holds nothing at all."""

from __future__ import annotations

import operator
import os
import weakref
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from scaffold.errors import DataError, Where, shown
from scaffold.runtime.reading.formats import Decode, Format, Schema
from scaffold.runtime.reading.lines import Line, cut_lines, file_error, without_empty
from scaffold.runtime.samples import BadRow, Origin, Sample

OnBadRow = Literal["error", "skip"]
BAD_ROWS = "data.rows"
MOST_FINDINGS = 20
MOST_ALIKE = 4
READING = "while reading"  # begins the note that tells the row in which code of a project failed
MEND = "mend these lines, or leave them out with data.on_bad_row=skip"
CHUNK_ROWS = 256
CHUNK_BYTES = 1 << 20


class Finding(NamedTuple):
    """What is wrong with one row, and where it stands; `fix` where more than mending the row would help."""

    origin: Origin
    problem: str
    fix: str = ""
    row_id: object = None

    @classmethod
    def of(cls, problem: BadRow, origin: Origin) -> Finding:
        """Return what was raised for a row."""
        return cls(replace(origin, line=origin.line + problem.below), str(problem), problem.fix, problem.row_id)

    @property
    def message(self) -> str:
        """Return what is wrong with the row, and its id, where it has one."""
        return self.problem if self.row_id is None else f"{self.problem} (id {shown(self.row_id)})"


class Rows(Sequence[Sample]):
    """The sound rows of one or more files; each access reads its row again. `read_rows` makes it.

    `skipped` lists the rows that were left out. A slice or `take` is a view of the same files.
    """

    def __init__(self, table: _Table, positions: npt.NDArray[np.int64], skipped: Sequence[Finding] = ()) -> None:
        self._table = table
        self._positions = positions
        self.skipped = list(skipped)

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Rows: ...
    def __getitem__(self, index: int | slice) -> Sample | Rows:
        if isinstance(index, slice):
            return Rows(self._table, self._positions[index])
        return self._table.sample(int(self._positions[operator.index(index)]))

    def __iter__(self) -> Iterator[Sample]:
        for start in range(0, len(self), CHUNK_ROWS):
            yield from self._table.samples(self._positions[start : start + CHUNK_ROWS])

    def take(self, indices: npt.ArrayLike) -> Rows:
        """Return the rows at these indices, in their order, as a view that reads nothing yet."""
        return Rows(self._table, self._positions[np.asarray(indices, dtype=np.int64)])

    def origin(self, index: int) -> Origin:
        """Return the file and line of a row without reading it."""
        return self._table.origin(int(self._positions[operator.index(index)]))

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """The places of the rows among all sound ones of their files."""
        return self._positions

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the rows come from."""
        return tuple(source.path for source in self._table.sources)

    def __repr__(self) -> str:
        return f"Rows({len(self)} of {', '.join(map(str, self.files))})"


def read_rows(files: Sequence[str | Path], schema: Schema, on_bad_row: OnBadRow = "error") -> Rows:
    """Check every row of the files and return them.

    Raises one DataError with the first 20 bad rows, or lists them all in `skipped`; raises too where nothing is left.
    """
    most = MOST_FINDINGS if on_bad_row == "error" else None
    rows = scan_rows(files, schema, most)
    if rows.skipped and (most is not None or not rows):
        raise bad_rows(rows.skipped, most)
    return rows


def scan_rows(files: Sequence[str | Path], schema: Schema, most: int | None) -> Rows:
    """Return the rows up to the bad one that makes `most` of them, with the bad ones in `skipped`."""
    table = _Table()
    findings: list[Finding] = []
    for path in map(Path, files):
        before = len(table.offsets)
        found = table.scan(path, schema, None if most is None else most - len(findings))
        if not found and len(table.offsets) == before:
            raise file_error(path, "The data file holds no rows.", fix="add rows, or leave the file out")
        findings.extend(found)
        if len(findings) == most:
            break
    return Rows(table, np.arange(len(table.offsets)), findings)


def bad_rows(findings: Sequence[Finding], most: int | None = MOST_FINDINGS) -> DataError:
    """Return the one error that lists bad rows, with the place of the first."""
    first, fixes = findings[0], {finding.fix for finding in findings}
    count = "At least " * (len(findings) == most) + f"{len(findings)} row{'s' * (len(findings) > 1)}"
    problem = DataError(
        f"{count} of the data cannot be used.",
        because=first.message,
        fix=(fixes.pop() if len(fixes) == 1 else "") or MEND,
        where=Where(file=first.origin.file, line=first.origin.line),
        code=BAD_ROWS,
    )
    problem.with_details(lines_of(findings[:MOST_FINDINGS]) if len(findings) > 1 else [])
    return problem


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Return a line for each finding; of five or more alike in a file, the first three and how many follow."""
    return [line for line, _ in folded(findings)]


def folded(findings: Sequence[Finding]) -> list[tuple[str, int]]:
    """Return the lines of `lines_of`, each with the number of findings that it tells."""
    counts, seen, lines = Counter(map(_kind, findings)), Counter[tuple[str, str]](), list[tuple[str, int]]()
    for finding in findings:
        kind = _kind(finding)
        seen[kind] += 1
        rest = counts[kind] - MOST_ALIKE + 1
        if rest <= 1 or seen[kind] < MOST_ALIKE:
            lines.append((f"{finding.origin}: {finding.message}", 1))
        elif seen[kind] == MOST_ALIKE:
            lines.append((f"{finding.origin.file}: {rest} more like it", rest))
    return lines


def _kind(finding: Finding) -> tuple[str, str]:
    return finding.origin.file, finding.problem


def stream_rows(
    source: str | Path | IO[bytes], schema: Schema, *, kind: str | None = None, name: str = "standard input"
) -> Iterator[Sample | Finding]:
    """Yield the sample of each row, or what is wrong with it, in constant memory.

    source: a file, or an open binary stream, which needs a `kind`, the suffix of its format, and a `name` for messages.
    """
    if not isinstance(source, (str, Path)):
        yield from _stream(source, schema, schema.format_of(f"{name}.tsv", kind), name)
        return
    form = schema.format_of(source, kind)
    with form.open(Path(source)) as handle:
        yield from _stream(handle, schema, form, str(source))


def _stream(handle: IO[bytes], schema: Schema, form: Format, name: str) -> Iterator[Sample | Finding]:
    rows = _cut(form.unfolded(handle, name), schema, form, name)
    decode = form.decoder(schema, form.header(rows, name), name)
    for row in rows:
        origin = Origin(name, row.number)
        try:
            sample = _decoded(row, decode)
        except BadRow as problem:
            yield Finding.of(problem, origin)
        except Exception as fault:  # of a project's own format
            fault.add_note(f"{READING} {origin}")
            raise
        else:
            sample.origin = origin
            yield sample


def _cut(handle: IO[bytes], schema: Schema, form: Format, name: str) -> Iterator[Line]:
    lines = cut_lines(handle, name, schema.max_row_bytes)
    return without_empty(form.rows(lines, schema.max_row_bytes))


def _decoded(row: Line, decode: Decode) -> Sample:
    if row.fault:
        raise BadRow(row.fault)
    return decode(row.raw)


@dataclass
class _Source:
    """One file, opened anew in every process that reads from it."""

    path: Path
    form: Format
    decode: Decode
    stamp: tuple[int, int]
    descriptor: int | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Return a stretch of the file; raises DataError where it is no longer the file that was checked."""
        if self.descriptor is None:
            self.descriptor = self._opened()
        raw = os.pread(self.descriptor, size, offset)
        if len(raw) != size:
            raise self.changed()
        return raw

    def changed(self) -> DataError:
        """Return the error of a file that is not the one whose rows were checked."""
        return file_error(self.path, "The data file changed while it was in use.", fix="start again")

    def _opened(self) -> int:
        with self.form.open(self.path) as handle:
            if stamp_of(handle.fileno()) != self.stamp:
                raise self.changed()
            with self.form.unfolded(handle, str(self.path)) as rows:
                descriptor = os.dup(rows.fileno())
        weakref.finalize(self, os.close, descriptor)
        return descriptor

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"descriptor": None}


def stamp_of(descriptor: int) -> tuple[int, int]:
    """Return the size and the time of the last change of an open file."""
    status = os.fstat(descriptor)
    return status.st_size, status.st_mtime_ns


@dataclass
class _Table:
    """Where each row stands: 16 bytes a row."""

    sources: list[_Source] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("i"))
    numbers: array[int] = field(default_factory=lambda: array("i"))

    def scan(self, path: Path, schema: Schema, most: int | None) -> list[Finding]:
        """Add the rows of a file and return the bad ones, at most so many."""
        form, findings = schema.format_of(path), []
        with form.open(path, regular=True) as handle, form.unfolded(handle, str(path)) as unfolded:
            rows = _cut(unfolded, schema, form, str(path))
            decode = form.decoder(schema, form.header(rows, str(path)), str(path))
            self.sources.append(_Source(path, form, decode, stamp_of(handle.fileno())))
            self.starts.append(len(self.offsets))
            for row in rows:
                try:
                    _decoded(row, decode)
                except BadRow as problem:
                    findings.append(Finding.of(problem, Origin(str(path), row.number)))
                    if len(findings) == most:
                        break
                except Exception as fault:  # of a project's own format
                    fault.add_note(f"{READING} {path}:{row.number}")
                    raise
                else:
                    self.offsets.append(row.offset)
                    self.sizes.append(len(row.raw))
                    self.numbers.append(row.number)
        return findings

    def source(self, position: int) -> _Source:
        """Return the file in which a row stands."""
        return self.sources[bisect_right(self.starts, position) - 1]

    def origin(self, position: int) -> Origin:
        """Return the place of a row."""
        return Origin(str(self.source(position).path), self.numbers[position])

    def sample(self, position: int, raw: bytes | None = None) -> Sample:
        """Return a row, from its bytes where they were read already."""
        source = self.source(position)
        try:
            sample = source.decode(source.read(self.offsets[position], self.sizes[position]) if raw is None else raw)
        except BadRow:
            raise source.changed() from None
        sample.origin = Origin(str(source.path), self.numbers[position])
        return sample

    def samples(self, positions: npt.NDArray[np.int64]) -> Iterator[Sample]:
        """Yield rows, with one read for all of them where they stand close together."""
        places = positions.tolist()
        source, begin = self.source(places[0]), self.offsets[places[0]]
        end = self.offsets[places[-1]] + self.sizes[places[-1]]
        near = (
            source is self.source(places[-1])
            and 0 < end - begin <= CHUNK_BYTES
            and bool((np.diff(positions) > 0).all())
        )
        block = source.read(begin, end - begin) if near else b""
        for place in places:
            start = self.offsets[place] - begin
            yield self.sample(place, block[start : start + self.sizes[place]] if near else None)

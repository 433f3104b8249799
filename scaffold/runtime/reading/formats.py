"""The formats of data files: how a file is cut into rows, and how a row becomes a sample."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

from scaffold.errors import ConfigError, Where, listed, nearest, shown
from scaffold.runtime.reading.cells import load_object, split_commas, split_tabs
from scaffold.runtime.reading.lines import MAX_ROW_BYTES, Line, file_error, open_data, text_of
from scaffold.runtime.samples import BadRow, NoList, Sample

Decode = Callable[[bytes], Sample]
COLUMNS_KEY = "data.columns"
FORMAT_KEY = "data.format"
CONVERT = "unpack, convert or rename the file"
NAME_FORMAT = f"{CONVERT}, or name the format of all files, such as {FORMAT_KEY}=conll"
FOLDER = "/"  # stands for the suffix where a folder is read like a file
# what columns are often called: with one of our own names beside them, they are a header
TITLES = {"category", "class", "id", "intent", "label", "labels", "sentence", "source", "target", "text", "title"}
PARTED = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Schema:
    """What a row must hold: the sample's fields, under which columns, and what else may stand beside them.

    columns: our name -> the file's column (a name, or a 0-based position in a TSV file); a name that is no field of the
    sample is carried in `sample.extra`. required: optional fields that must be filled all the same.
    carry: columns that nobody named go along in `sample.extra` (prediction) instead of being an error.
    split: which rows are wanted of a file that holds those of several splits; None: all. kind: the suffix of the format
    in which all files are read; None: by their own.
    """

    sample_type: type[Sample]
    columns: Mapping[str, str | int] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    carry: bool = False
    max_row_bytes: int = MAX_ROW_BYTES
    split: str | None = None
    kind: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Our names of all columns: the sample's fields, then the extras."""
        fields = self.sample_type.field_names()
        return fields + tuple(name for name in self.columns if name not in fields)

    @property
    def must_have(self) -> frozenset[str]:
        """Our names of the columns that a row cannot do without."""
        extras = frozenset(() if self.carry else self.columns) - frozenset(self.sample_type.field_names())
        return extras.union(self.sample_type.required_fields(), self.required)

    def by_key(self) -> dict[str, str]:
        """Return our name of each column that is known by its name in the file."""
        ours = {self.columns.get(name, name): name for name in self.names}
        numbers = [key for key in ours if not isinstance(key, str)]
        if numbers or len(ours) != len(self.names):
            wrong = f"the position {numbers[0]}" if numbers else "one column under two names"
            raise _column_error(f"expected a column's name for each of {listed(self.names)}, got {wrong}")
        free = {name for name in self.names if self.columns.get(name, name) == name}
        others = {key: name for key, name in self.sample_type.aliases.items() if name in free and key not in ours}
        return {str(key): name for key, name in ours.items()} | others

    def missing(self, ours: dict[str, str], columns: Iterable[str]) -> list[str]:
        """Return the columns that a row cannot do without and that are not among those of a file or row."""
        there = {ours.get(column) for column in columns}
        # backwards, so that of a name the column wins and not its alias, which comes later
        absent = {name: column for column, name in reversed(ours.items()) if name not in there}
        return [column for name, column in reversed(absent.items()) if name in self.must_have]

    def by_position(self) -> tuple[str, ...]:
        """Return our names in the order of the columns; what has no position fills the free ones in order.

        Names of columns say nothing here, as the file has none: so one setting serves files with a header and without.
        """
        positions = {name: place for name, place in self.columns.items() if not isinstance(place, str)}
        places = {place: name for name, place in positions.items() if place >= 0}
        if len(places) != len(positions):
            wrong = [place for place in positions.values() if place not in places]
            got = shown(wrong[0]) if wrong else "one position twice"
            raise _column_error(f"expected the position of a column in the file, from 0, got {got}")
        free = iter(place for place in range(len(self.names)) if place not in places)
        places |= {next(free): name for name in self.names if name not in positions}
        missing = [place for place in range(max(places) + 1) if place not in places]
        if missing:
            raise _column_error(f"expected a name for every column up to {max(places)}, got none for {listed(missing)}")
        return tuple(places[place] for place in range(len(places)))

    def format_of(self, name: str | Path, kind: str | None = None) -> Format:
        """Return the format in which such rows are read from a file or, where there is one for it, a folder.

        kind: that of this file, whatever the schema has.
        """
        formats = FORMATS | dict(self.sample_type.formats)
        fix = 'name its format: make predict … ARGS="--format tsv"' if self.carry else NAME_FORMAT
        if self.kind and not kind:
            form = named_format(self.kind, formats)
        else:
            form = format_of(f"{name}.{kind.removeprefix('.')}" if kind else name, formats, fix)
        return form if self.split is None else form.of_split(self.split)

    def sample(self, fields: Mapping[str, Any]) -> Sample:
        """Return the sample of a row's values; raises BadRow."""
        sample = self.sample_type.parse(fields)
        for name in self.required:
            if getattr(sample, name, None) in (None, []):
                raise BadRow(f"expected a value in '{name}', got nothing")
        return sample


class Format:
    """One kind of file; a project's own format is a subclass, made known by `register_format`."""

    def splits(self, path: Path) -> tuple[str, ...]:  # noqa: ARG002 - here a file is of one split
        """Return the splits that a single file holds; none where it is to be divided."""
        return ()

    def of_split(self, split: str) -> Format:  # noqa: ARG002 - here a file is of one split
        """Return the format that reads the rows of one split where a file holds several."""
        return self

    def open(self, path: Path, *, regular: bool = False) -> IO[bytes]:
        """Open a file for reading; `regular` refuses pipes."""
        return open_data(path, regular=regular)

    def unfolded(self, handle: IO[bytes], name: str) -> IO[bytes]:  # noqa: ARG002 - here a row stands by itself
        """Return a file in which the bytes of a row say all about it; it is read in place of the given one."""
        return handle

    def rows(self, lines: Iterator[Line], max_bytes: int) -> Iterator[Line]:  # noqa: ARG002 - here a line is a row
        """Join the lines of a file into rows."""
        return lines

    def header(self, rows: Iterator[Line], name: str) -> list[str] | None:  # noqa: ARG002 - here there is none
        """Take the header off the rows of a file and return its columns; None where there is none."""
        return None

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:  # noqa: ARG002 - here `values` does it
        """Return what makes a sample of a row's bytes; raises where the file's columns do not fit the schema."""
        return partial(_sample_of, self, schema, schema.names)

    def values(self, text: str) -> Mapping[str, Any]:
        """Return what a row holds, by our names; raises BadRow. The one method that a format of a line a row needs."""
        raise NotImplementedError(f"{type(self).__name__} must write `values`, or a `decoder` that does without")


class Tsv(Format):
    """Tab-separated values: no header, no quoting, columns by position, one line a row."""

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:  # noqa: ARG002 - no header to fit
        """Return what makes a sample of a line; raises ConfigError where the columns leave a position open."""
        names = schema.by_position()
        needed = [place for place, column in enumerate(names) if column in schema.must_have]
        titles = TITLES.union(*(map(str.casefold, found) for found in (names, schema.sample_type.aliases)))
        return _Columns(schema, split_tabs, names, max(needed, default=0) + 1, frozenset(titles))


class Csv(Format):
    """Comma-separated values (RFC 4180, strict): a header with names, quotes, line breaks inside quotes."""

    def rows(self, lines: Iterator[Line], max_bytes: int) -> Iterator[Line]:
        """Join lines while a quote is open; below a quote that is never closed, the next line is a row again."""
        ahead: deque[Line] = deque()
        while line := ahead.popleft() if ahead else next(lines, None):
            if line.raw.count(b'"') % 2:
                line, below = _joined(line, ahead, lines, max_bytes)
                ahead.extendleft(reversed(below))
            yield line

    def header(self, rows: Iterator[Line], name: str) -> list[str] | None:
        """Return the names in the first row."""
        first = next(rows, None)
        if first is None:
            return None
        try:
            return split_commas(sound(first))
        except BadRow as problem:
            raise file_error(name, "The header cannot be read.", because=str(problem), fix="mend it", line=1) from None

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:
        """Return what makes a sample of a row; raises DataError where the header is not what the schema expects."""
        names = _fitted(schema, header, name) if header else ()
        return _Columns(schema, split_commas, names, len(names))


class Jsonl(Format):
    """One JSON object a line."""

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:  # noqa: ARG002 - no header to fit
        """Return what makes a sample of a line."""
        return _Objects(schema, schema.by_key())


FORMATS: dict[str, Format] = {".tsv": Tsv(), ".csv": Csv(), ".jsonl": Jsonl()}


def register_format(suffix: str, form: Format) -> None:
    """Let files that end in `suffix` be read by a project's own format."""
    FORMATS["." + suffix.removeprefix(".")] = form


def named_format(kind: str, formats: Mapping[str, Format]) -> Format:
    """Return the format that `data.format` names; ConfigError where there is none of that name."""
    suffix = "." + kind.lower().removeprefix(".")
    if suffix in formats:
        return formats[suffix]
    known = [suffix.removeprefix(".") for suffix in formats if suffix != FOLDER]
    near = nearest(kind, known)
    raise ConfigError(
        f"there is no format called {shown(kind)}",
        because=f"expected one of {listed(known)}",
        fix=f"did you mean {near}?" if near else "name one of these, or register your own for such a suffix",
        where=Where(key=FORMAT_KEY),
        code="config.value",
    )


def format_of(name: str | Path, formats: Mapping[str, Format] = FORMATS, fix: str = CONVERT) -> Format:
    """Return the format of a file by its suffix; raises DataError, with this fix, where there is none for it."""
    suffix = FOLDER if FOLDER in formats and Path(name).is_dir() else Path(name).suffix.lower()
    if suffix in formats:
        return formats[suffix]
    known = [suffix for suffix in formats if suffix != FOLDER]
    near = nearest(suffix, known)
    raise file_error(
        name,
        f"Files of the kind {shown(suffix)} cannot be read." if suffix else "A data file needs a suffix.",
        because=f"expected one of {listed(known)}" + (f"; did you mean {near}?" if near else ""),
        fix=fix,
    )


def sound(row: Line) -> str:
    """Return the text of a row; raises BadRow where it was cut out of the file with a fault."""
    if row.fault:
        raise BadRow(row.fault)
    return text_of(row.raw)


@dataclass(frozen=True)
class _Columns:
    """Makes a sample of a row whose values stand in a fixed order; the last ones may be left out.

    titles: the words of a header, where a file should have none.
    """

    schema: Schema
    split: Callable[[str], Sequence[str]]
    names: tuple[str, ...]
    at_least: int
    titles: frozenset[str] = frozenset()

    def __call__(self, raw: bytes) -> Sample:
        values = self.split(text_of(raw))
        if not self.at_least <= len(values) <= len(self.names):
            some = "" if self.at_least == len(self.names) else f"{self.at_least} to "
            got = f"{len(values)}" + (", the last one empty" if len(values) > 1 and not values[-1].strip() else "")
            raise BadRow(f"expected {some}{len(self.names)} columns ({listed(self.names)}), got {got}")
        if self.titles and len(values) > 1 and self._is_header(values):
            raise BadRow(f"expected a row, got the header {listed(map(shown, values))}: a TSV file has none")
        try:
            return self.schema.sample(dict(zip(self.names, values, strict=False)))
        except NoList as problem:
            raise BadRow(f"{problem}; the columns are {listed(self.names)}", fix=problem.fix) from None

    def _is_header(self, values: Sequence[str]) -> bool:
        # the last one first: it is mostly a label, and short
        if values[-1].strip(' "').casefold() not in self.titles:
            return False
        words = [value.strip(' "').casefold() for value in values]
        own = any(word == name.casefold() for word, name in zip(words, self.names, strict=False))
        return own and self.titles.issuperset(words)


@dataclass(frozen=True)
class _Objects:
    """Makes a sample of a JSON object; `ours` holds our name of each key."""

    schema: Schema
    ours: dict[str, str]

    def __call__(self, raw: bytes) -> Sample:
        found = load_object(text_of(raw))
        surplus = [key for key in found if key not in self.ours]
        if surplus and not self.schema.carry:
            got = listed(map(shown, surplus))
            raise BadRow(f"expected only the keys {listed(self.ours)}, got {got} too", fix=_carry(surplus))
        missing = self.schema.missing(self.ours, found)
        if missing:
            raise BadRow(f"expected the keys {listed(self.ours)}, got no {listed(map(shown, missing))}")
        clash = [key for key in surplus if key in self.schema.names]
        if clash:
            raise BadRow(f"expected '{clash[0]}' under the key that {COLUMNS_KEY} names, got a key of that name too")
        values = {self.ours.get(key, key): value for key, value in found.items()}
        if len(values) != len(found):
            twice = [key for key in found if list(map(self.ours.get, found)).count(self.ours.get(key, "")) > 1]
            raise BadRow(f"expected one key for each of {listed(self.schema.names)}, got {listed(map(shown, twice))}")
        return self.schema.sample(values)


def _sample_of(form: Format, schema: Schema, names: Sequence[str], raw: bytes) -> Sample:
    values = form.values(text_of(raw))
    surplus = [name for name in values if name not in names]
    if surplus and not schema.carry:
        got = f"{listed(map(shown, surplus))} too{_nearest(surplus[0], names)}"
        raise BadRow(f"expected {type(form).__name__} to give {listed(names)}, got {got}", fix=_carry(surplus))
    return schema.sample(values)


def _joined(first: Line, ahead: deque[Line], lines: Iterator[Line], max_bytes: int) -> tuple[Line, list[Line]]:
    """Return the row that begins with an open quote; where it is faulty, its first line and the lines below."""
    below: list[Line] = []
    size, quotes = len(first.raw), 1
    while quotes % 2 and size <= max_bytes:
        line = ahead.popleft() if ahead else next(lines, None)
        if line is None:
            break
        below.append(line)
        size += len(line.raw)
        quotes += line.raw.count(b'"')
    if quotes % 2 or any(line.fault for line in below):
        return first._replace(raw=b"", fault="expected a quote that ends the value begun here, got none"), below
    raw = b"".join([first.raw, *(line.raw for line in below)])
    try:
        split_commas(text_of(raw))
    except BadRow as problem:
        return first._replace(raw=b"", fault=str(problem)), below
    return first._replace(raw=raw), []


def _fitted(schema: Schema, header: list[str], name: str) -> tuple[str, ...]:
    _check_commas(header, name)
    ours = schema.by_key()
    counts = Counter(ours.get(column, (column,)) for column in header)  # a tuple is none of our names
    twice = dict.fromkeys(column for column in header if counts[ours.get(column, (column,))] > 1)
    missing = schema.missing(ours, header)
    surplus = [column for column in header if column not in ours]
    clash = [column for column in surplus if column in schema.names]
    which = f"say in {COLUMNS_KEY} which column is which, for example {COLUMNS_KEY}.{schema.names[0]}=<column>"
    if twice:
        wrong = f"{listed(map(shown, twice))} twice"
    elif missing:
        wrong = f"no {listed(map(shown, missing))} among {listed(map(shown, header))}{_nearest(missing[0], surplus)}"
    elif surplus and not schema.carry:
        wrong = f"{listed(map(shown, surplus))} too"
    elif clash:
        wrong = f"{shown(clash[0])} too, which {COLUMNS_KEY} takes from another column"
    else:
        return tuple(ours.get(column, column) for column in header)
    raise file_error(
        name,
        "The header does not name the expected columns.",
        because=f"expected {listed(map(shown, ours))}, got {wrong}",
        fix=_carry(surplus) if surplus and not missing else f"{which}; a file without a header needs one",
        line=1,
    )


def _carry(surplus: Sequence[str]) -> str:
    settings = " ".join(f"+{COLUMNS_KEY}.{name}={name}" for name in surplus)
    return f"carry {'them' if len(surplus) > 1 else 'it'} along with {settings}, or take it out of the file"


def _check_commas(header: list[str], name: str) -> None:
    sign = next((sign for sign in PARTED if len(header) == 1 and sign in header[0]), None)
    if sign:
        raise file_error(
            name,
            f"The columns of the file are parted by {PARTED[sign]}.",
            because=f"expected commas, as in every CSV file, got {shown(header[0])}",
            fix="write it with commas" + (", or name it .tsv and take its header out" if sign == "\t" else ""),
            line=1,
        )


def _nearest(column: str, others: Sequence[str]) -> str:
    near = nearest(column, others)
    return f"; is {shown(near)} meant?" if near else ""


def _column_error(because: str) -> ConfigError:
    return ConfigError(
        "The columns cannot be told apart.",
        because=because,
        fix=f"give {COLUMNS_KEY} a name or position for each column",
        where=Where(key=COLUMNS_KEY),
    )

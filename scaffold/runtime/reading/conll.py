"""CoNLL files: one token a line in columns, an empty line between rows, comments and document marks in between."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime.reading.formats import COLUMNS_KEY, Decode, Format, Schema
from scaffold.runtime.reading.lines import Line, text_of
from scaffold.runtime.samples import BadRow, Sample

DOCUMENT = "-DOCSTART-"
COMMENT = re.compile(r"#\s*(\S+\s*=|newdoc|newpar)")
NUMBERED_APART = re.compile(r"\d+[-.]\d+")
LAST = -1


@dataclass(frozen=True)
class Conll(Format):
    """Columns split at tabs, or at spaces where a line has no tab; a row's columns become lists.

    tokens, labels: the columns, from 0 (-1: the last), of the sample's first and second field, where `data.columns`
    gives no positions. numbered: the first column numbers the tokens, as in CoNLL-U; its multi-word and empty tokens
    are left out. A line that begins with # is a comment where it cannot be a token: it has no tab, though other lines
    of the row have, or it looks like `# key = value`.
    """

    tokens: int = 0
    labels: int = LAST
    numbered: bool = False

    def rows(self, lines: Iterator[Line], max_bytes: int) -> Iterator[Line]:
        """Join the lines between two empty ones; what has no token is no row."""
        block: list[Line] = []
        size = 0
        for line in chain(lines, [Line(0, 0, b"\n")]):
            if line.raw.strip() or line.fault:
                size += len(line.raw)
                if size <= max_bytes:
                    block.append(line)
                elif not block[-1].fault:
                    fault = f"expected an empty line after at most {max_bytes:,} bytes, got none"
                    block.append(line._replace(raw=b"", fault=fault))
                continue
            yield from _joined(block, self.numbered)
            block, size = [], 0

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:  # noqa: ARG002 - no header to fit
        """Return what makes a sample of a row's lines; ConfigError for a column that is named, not placed."""
        names = schema.sample_type.field_names()
        places: dict[str, int] = dict(zip(names, (self.tokens, self.labels), strict=False))
        for name, column in schema.columns.items():
            if isinstance(column, int):
                places[name] = column
            elif name not in names or (column != name and not schema.carry):  # training may have read another kind
                raise ConfigError(
                    f"a CoNLL file has no column called {shown(column)}",
                    because="its columns have no names, only positions, counted from 0",
                    fix=f"give a position: {COLUMNS_KEY}.{name}=3 is the fourth column",
                    where=Where(key=f"{COLUMNS_KEY}.{name}"),
                )
        return _Sentence(schema, places, self.numbered)


@dataclass(frozen=True)
class _Sentence:
    """Makes a sample of the lines of one row."""

    schema: Schema
    places: Mapping[str, int]
    numbered: bool

    def __call__(self, raw: bytes) -> Sample:
        placed = _token_lines(text_of(raw), self.numbered)
        lines = list(placed.values())
        width = len(lines[0]) if lines else 0
        for place, line in placed.items():
            if len(line) != width:
                found = shown(" ".join(line))
                message = f"expected {width} columns, as in the first line of the row, got {len(line)}: {found}"
                raise BadRow(message, below=place)
        return self.schema.sample(dict(self._values(lines, width)))

    def _values(self, lines: Sequence[list[str]], width: int) -> Iterator[tuple[str, Any]]:
        chosen = [name for name, column in self.schema.columns.items() if isinstance(column, int) and column != LAST]
        required = self.schema.must_have.union(() if self.schema.carry else chosen)
        for number, (name, place) in enumerate(self.places.items()):
            column = width - 1 if place == LAST else place
            if column < width and not (number and place == LAST and width == 1):
                yield name, [line[column] for line in lines]
            elif name in required:
                columns = f"{width} column{'s' * (width > 1)}"
                raise BadRow(f"expected {name} in column {column} (counted from 0), got rows of {columns}")


def _token_lines(text: str, numbered: bool) -> dict[int, list[str]]:
    """Return the columns of each line that is a token, by how many lines it stands below the first one."""
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    tabbed = numbered or any("\t" in line for line in lines)
    found: dict[int, list[str]] = {}
    for place, line in enumerate(lines):
        if not line or line.startswith(DOCUMENT) or _is_comment(line, tabbed):
            continue
        columns = line.split("\t") if "\t" in line else [part for part in line.split(" ") if part]
        if not (numbered and NUMBERED_APART.fullmatch(columns[0])):
            found[place] = columns
    return found


def _is_comment(line: str, tabbed: bool) -> bool:
    return line.startswith("#") and "\t" not in line and (tabbed or COMMENT.match(line) is not None)


def _joined(block: Sequence[Line], numbered: bool) -> Iterator[Line]:
    """Yield the row of some lines, if there is a token among them."""
    if block and not _is_bare((row := Line.joined(block)).raw, numbered):
        yield row


def _is_bare(raw: bytes, numbered: bool) -> bool:
    """Return whether a row is nothing but comments and document marks."""
    if not raw.startswith((b"#", DOCUMENT.encode())):
        return False
    try:
        return not _token_lines(text_of(raw), numbered)
    except BadRow:
        return False

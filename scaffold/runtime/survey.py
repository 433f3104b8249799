"""The bad rows of all splits in one error: one round of mending is enough."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain

from scaffold.errors import DataError, ScaffoldError
from scaffold.runtime.encoding import misfits
from scaffold.runtime.reading.readers import NAMED
from scaffold.runtime.reading.rows import BAD_ROWS, MOST_FINDINGS, Finding, Rows, bad_rows, scan_rows
from scaffold.runtime.splits import Splits
from scaffold.runtime.task import Context

Learn = Callable[[Mapping[str, Rows]], Context]


@contextmanager
def all_bad_rows(splits: Splits, split: str, learn: Learn, *, alone: bool) -> Iterator[None]:
    """Add to the bad rows of one split, for which its error is raised in here, those of the others.

    learn: returns what must be known of the training rows to encode any, from the rows of each file's split. alone:
    whether no other split is looked at, as there is no training.
    """
    try:
        yield
    except DataError as problem:
        if problem.code != BAD_ROWS or splits.settings.on_bad_row == "skip":
            raise
        found = _survey(splits, [splits.home(split)] if alone else splits.files, learn)
        if not found and splits.are_divided and not alone:
            problem.because += "; it is dividing the rows that leaves it unknown to training"
            problem.fix = f"divide otherwise, for example with seed={splits.seed + 1}, or name the files: {NAMED}"
        raise (bad_rows(found) if found else problem) from None


def _survey(splits: Splits, names: Iterable[str], learn: Learn) -> list[Finding]:
    """Return the first bad rows of all files: those that cannot be read, and those that cannot be encoded."""
    read: dict[str, Rows] = {}
    for split in names:
        with suppress(ScaffoldError):  # a file that is unfit as a whole is told when the rows are mended
            read[split] = scan_rows(splits.files[split], splits.schema(split), MOST_FINDINGS)
    found = [finding for rows in read.values() for finding in rows.skipped]
    with suppress(Exception):  # and so is what fails in the task's own code
        context = learn(read)
        for stage, rows in read.items():
            found += misfits(splits.task, rows, context, stage)  # type: ignore[arg-type]
    places = {str(file): place for place, file in enumerate(chain.from_iterable(splits.files.values()))}
    return sorted(found, key=lambda one: (places[one.origin.file], one.origin.line))[:MOST_FINDINGS]

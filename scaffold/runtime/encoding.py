"""From rows to features, once and for all of them: what is cut, left out or wrong is counted and said."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from scaffold.errors import DataError, Where
from scaffold.runtime.features import FeatureStore
from scaffold.runtime.reading.rows import MOST_FINDINGS, Finding, Rows, bad_rows, folded, lines_of
from scaffold.runtime.samples import BadRow
from scaffold.runtime.task import Context, Features, Stage, Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Encoded:
    """The rows of one stage, and their features as the model gets them; `cut` rows have not all of their tokens."""

    rows: Rows
    store: FeatureStore
    left_out: Sequence[Finding] = ()
    cut: int = 0


def encode(task: type[Task], rows: Rows, context: Context, stage: Stage, on_bad_row: str = "error") -> Encoded:
    """Encode rows; what is cut or left out is counted and said.

    Errors: one DataError with the file and line of the first 20 rows that cannot be encoded.
    """
    encoder = _Encoder(task, context, stage, most=MOST_FINDINGS if on_bad_row == "error" else None)
    store = FeatureStore(encoder.features(rows), length=task.length)
    if encoder.bad and encoder.most is not None:
        raise bad_rows(encoder.bad)
    if len(store) == 0:
        raise DataError(
            f"no row of {stage} is left",
            because=f"of {len(rows)} rows, {len(encoder.short)} are too short and {len(encoder.bad)} cannot be encoded",
            fix="check task.min_length and the rows",
            where=Where(file=str(rows.files[0])),
            code="data.empty",
        ).with_details(lines_of(encoder.bad[:MOST_FINDINGS]))
    encoder.report(len(rows))
    return Encoded(rows, store, [*encoder.bad, *encoder.short], encoder.cut)


def misfits(task: type[Task], rows: Rows, context: Context, stage: Stage) -> list[Finding]:
    """Return the first 20 rows that cannot be encoded; what the others become is thrown away."""
    encoder = _Encoder(task, context, stage, most=MOST_FINDINGS)
    for _ in encoder.features(rows):
        pass
    return encoder.bad


class _Encoder:
    """One pass over rows that keeps count of what was cut, left out, or wrong."""

    def __init__(self, task: type[Task], context: Context, stage: Stage, most: int | None) -> None:
        self.task, self.context, self.stage, self.most = task, context, stage, most
        self.bad: list[Finding] = []
        self.short: list[Finding] = []
        self.cut = 0

    def features(self, rows: Rows) -> Iterator[tuple[int, Sequence[Features]]]:
        for number, sample in enumerate(rows):
            try:
                found = self.task.encode(sample, self.context, self.stage)
            except BadRow as problem:
                problem.row_id = sample.extra.get("id")
                self.bad.append(Finding.of(problem, rows.origin(number)))
                if len(self.bad) == self.most:
                    return
                continue
            if not found or (self.stage == "train" and is_short(found, self.context.options)):
                found = []
                self.short.append(Finding(rows.origin(number), "it is shorter than task.min_length"))
            truncated = [features.pop("truncated", False) for features in found]
            self.cut += any(truncated)
            yield number, found

    def report(self, total: int) -> None:
        if self.cut:
            log.warning("%s: %d of %d rows were cut to task.max_length tokens", self.stage, self.cut, total)
        if self.short:
            log.warning(
                "%s: %d of %d rows are shorter than task.min_length: left out", self.stage, len(self.short), total
            )
        report_skipped(self.stage, self.bad)


def is_short(found: Sequence[Features], options: Any) -> bool:
    """Return whether a row has fewer tokens than `task.min_length`; a row that is no text never has."""
    least = getattr(options, "min_length", 0)
    return all("input_ids" in features and len(features["input_ids"]) < least for features in found)


def report_skipped(split: str, findings: Sequence[Finding]) -> None:
    """Say which rows were left out because of `data.on_bad_row=skip`, those alike as one; the run folder lists all."""
    lines = folded(findings)
    for line, _ in lines[:MOST_FINDINGS]:
        log.warning("%s: left out %s", split, line)
    if rest := sum(count for _, count in lines[MOST_FINDINGS:]):
        log.warning("%s: left out %d more", split, rest)

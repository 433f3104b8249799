"""Batches of one row, or of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

FEW = (1, 2)


def find(probe: Probe) -> Iterator[Finding]:
    """Yield what goes wrong with fewer rows that goes well with five."""
    from scaffold.check.probe_few import problem_with

    for count in FEW:
        problem = problem_with(probe, count)
        if problem is not None:
            place = probe.places.method("forward") if isinstance(problem, str) else probe.places.crash(problem)
            yield RULE.finding(f"with {count} of 5 rows: {problem}", measured=count, **place)
            return


RULE = Rule(
    id="one-row",
    severity="error",
    title="A batch of one row, or of two, fails or gives another shape.",
    why=(
        "The last batch of an epoch holds what is left, and a person who predicts a single row has one: a squeeze "
        "that drops the first dimension too is met only then."
    ),
    fix="Name the dimension: squeeze(-1) or squeeze(dim=1), never squeeze() alone; reshape(-1) for labels.",
    example=changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled).squeeze()")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.shapes, needs.running),
)

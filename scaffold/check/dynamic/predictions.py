"""Predictions that are not one per row, in order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import PROJECT_MODEL, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield what is wrong with the predictions of a few rows, together and alone."""
    from scaffold.check.probe_predictions import problems

    for problem, place in problems(probe):
        yield RULE.finding(problem, **place)


def _applies(probe: Probe) -> str | None:
    if probe.given.data is None:
        return Inapplicable("a model without data has no rows to predict")
    return needs.every(needs.shapes, needs.finite)(probe)


RULE = Rule(
    id="predictions",
    severity="error",
    title="batch_predict does not give one prediction per row, in order.",
    why=(
        "Predictions are written beside the rows they are for: a missing or misplaced one puts all others beside "
        "the wrong row."
    ),
    fix="Yield (sample, prediction) for each of batch.pop('samples'), in their order; decode labels to names.",
    example=changed(PROJECT_MODEL, ("yield sample, label", "yield sample, label\n            return")),
    instead=PROJECT_MODEL,
    find=find,
    applies=_applies,
    task=None,
)

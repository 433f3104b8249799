"""Models that cannot learn a few rows by heart."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic import label_shift
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

LEAST = 0.1  # the bias of a last layer moves its score by 1


def find(probe: Probe) -> Iterator[Finding | NotChecked]:
    """Yield a model that still gets its rows wrong after many steps, or gets them right with scores that hinder it."""
    learning = probe.learning
    if learning.out_of_time and not learning.learnt:
        yield RULE.not_checked(f"{learning.steps} steps took {learning.seconds:.0f} s, and more would be needed")
        return
    hindrance = _hindrance(probe)
    if (learning.learnt and not hindrance) or math.isnan(learning.first):  # loss-finite tells of no number
        return
    shown = probe.learning_well if learning.learnt and probe.reach.is_short else learning
    message = (
        f"after {shown.steps} steps on 5 rows {shown.right:.0%} of their targets are predicted, "
        f"and the loss is {shown.last:.3g} of {shown.first:.3g}"
    )
    measured = {"loss at first": shown.first, "at last": shown.last, "right": shown.right}
    told = "; ".join(part for part in (message, hindrance) if part)
    yield RULE.finding(told, measured=measured, **probe.places.method("forward"))


def _hindrance(probe: Probe) -> str:
    """Return what keeps the scores that the loss is given from growing, where learning was slow or came to an end."""
    learning = probe.learning
    if probe.reach.is_short and not (learning.learnt and probe.learning_well.learnt):
        return f"whatever the weights are, its scores lie within {probe.reach.spread:.2g} of each other"
    if not learning.is_quick and probe.moved < LEAST:
        return f"one unit of the most effective weight moves a score by {probe.moved:.1g} only: it is scaled down"
    return ""


def _applies(probe: Probe) -> str | None:
    reason = needs.every(needs.gradient, needs.finite, needs.shapes)(probe)
    return reason or ("the labels are shifted wrongly: see label-shift" if _is_shifted_wrongly(probe) else None)


def _is_shifted_wrongly(probe: Probe) -> bool:
    from scaffold.check.probe_crash import Crashed, Unmeasured

    try:
        return label_shift.RULE.applies(probe) is None and any(True for _ in label_shift.find(probe))
    except (Crashed, Unmeasured):
        return False


RULE = Rule(
    id="cannot-learn",
    severity="error",
    title="A handful of rows cannot be learnt by heart, or never surely.",
    why="Any sound model can; one that cannot will not learn a large data set either.",
    fix=(
        "Look for a loss with the wrong sign, rows and labels in different orders, dropout of nearly everything, "
        "or scores that are squashed, scaled down, or kept at one length: cosines need a scale, such as 16."
    ),
    example=changed(CLASSIFIER, ("F.cross_entropy(logits, labels)", "-F.cross_entropy(logits, labels)")),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

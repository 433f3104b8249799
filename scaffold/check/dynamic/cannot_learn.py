"""Models that cannot learn a few rows by heart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic import label_shift
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding | NotChecked]:
    """Yield a model that still gets its rows wrong after many steps, at each of several learning rates."""
    learning = probe.learning
    if learning.learnt:
        return
    if learning.out_of_time:
        yield RULE.not_checked(f"{learning.steps} steps took {learning.seconds:.0f} s, and more would be needed")
        return
    message = (
        f"after {learning.steps} steps on 5 rows {learning.right:.0%} of their targets are predicted, "
        f"and the loss is {learning.last:.3g} of {learning.first:.3g}"
    )
    measured = {"loss at first": learning.first, "at last": learning.last, "right": learning.right}
    yield RULE.finding(message, measured=measured, **probe.places.method("forward"))


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
    title="A handful of rows cannot be learnt by heart.",
    why="Any sound model can; one that cannot will not learn a large data set either.",
    fix=(
        "Look for a loss with the wrong sign, rows and labels in different orders, dropout of nearly everything, "
        "or scores that are squashed."
    ),
    example=changed(CLASSIFIER, ("F.cross_entropy(logits, labels)", "-F.cross_entropy(logits, labels)")),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

"""Probabilities where scores are expected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield losses that are given probabilities, and outputs that are."""
    from scaffold.check.probe_scores import squashed

    for function, kind in squashed(probe.stirred_runs):
        yield RULE.finding(f"{function} is given {kind}", measured=kind, **probe.places.method("forward"))


RULE = Rule(
    id="double-softmax",
    severity="error",
    title="Softmax or sigmoid is applied to scores that the loss applies it to again.",
    why=(
        "Cross-entropy takes the softmax itself: of probabilities it can never fall below a floor (0.55 with three "
        "labels), gradients are small, and the model trains badly without a word."
    ),
    fix="Give the loss the raw scores and leave softmax to prediction; nll_loss needs log_softmax.",
    example=changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled).softmax(dim=-1)")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.loss,
)

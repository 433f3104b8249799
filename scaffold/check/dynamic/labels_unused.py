"""Losses that do not look at the labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

ROUNDING = 1e-9  # what the order of a sum may do in double precision, and more


def find(probe: Probe) -> Iterator[Finding]:
    """Yield each target whose change leaves the loss as it was."""
    for target in probe.contract.targets:
        if target in probe.batch and not (effect := probe.effects.target_on_loss(target)):
            change = f"changes by {effect.size:.1g} of its size only" if effect.size > ROUNDING else "stays the same"
            message = f"the loss {change} when every one of {target} changes"
            yield RULE.finding(message, measured=target, **probe.places.method("forward"))


RULE = Rule(
    id="labels-unused",
    severity="error",
    title="The loss does not depend on the labels.",
    why="The model learns something, and not the task.",
    fix="Compute the loss from the logits and the labels of the same rows.",
    example=changed(CLASSIFIER, ("F.cross_entropy(logits, labels)", "F.cross_entropy(logits, logits.argmax(dim=-1))")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.finite, needs.steady),
)

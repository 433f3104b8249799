"""Losses that lead to no gradient."""

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
    """Yield a loss that nothing can be learnt from although weights are trainable."""
    if probe.loss_is_detached:
        yield RULE.finding("no trainable weight is reached from the loss", **probe.places.method("forward"))


RULE = Rule(
    id="loss-detached",
    severity="error",
    title="The loss is cut off from the weights.",
    why="backward() fails, or runs and changes nothing.",
    fix=(
        "Take out detach(), item(), .data, numpy() and no_grad() between the weights and the loss; argmax has no "
        "gradient either."
    ),
    example=changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled).detach()")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.loss, needs.trainable),
)

"""Losses and gradients that are no numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a loss, or else gradients, that are not finite."""
    from scaffold.check import probe_loss

    losses = probe_loss.losses(probe)
    if not all(map(math.isfinite, losses)):
        bad = next(loss for loss in losses if not math.isfinite(loss))
        yield RULE.finding("the loss of a batch is not finite", measured=bad, **probe.places.method("forward"))
    elif names := probe_loss.without_finite_gradient(probe):
        place = probe.places.layer(names[0])
        yield RULE.finding(f"the loss is finite, the gradient of {listed(names, 4)} is not", measured=names, **place)


RULE = Rule(
    id="loss-finite",
    severity="error",
    title="The loss, or its gradient, is not a finite number.",
    why="One such step turns every weight into nan.",
    fix=(
        "Look for a logarithm or a root of zero, a division by a count that may be zero, and a softmax over "
        "positions that are all masked."
    ),
    example=changed(
        CLASSIFIER, ("F.cross_entropy(logits, labels)", "F.cross_entropy(logits, labels) / (labels < 0).sum()")
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.loss,
)

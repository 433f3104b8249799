"""Gradients that are far too large."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

MOST = 1e3


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a first gradient whose norm no learning rate fits."""
    from scaffold.check import probe_loss

    norm = probe_loss.gradient_norm(probe)
    if norm > MOST:
        yield RULE.finding(
            f"the gradient's norm is {norm:.3g} at the first step", measured=norm, **probe.places.method("forward")
        )


RULE = Rule(
    id="gradient-explodes",
    severity="warning",
    title="The gradient is far too large at the first step.",
    why="A step in its direction leaves the weights anywhere, or not finite.",
    fix="Use the mean of the loss, normalise between layers, and initialise with smaller weights.",
    example=changed(CLASSIFIER, ("F.cross_entropy(logits, labels)", "1e6 * F.cross_entropy(logits, labels)")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.gradient, needs.finite),
)

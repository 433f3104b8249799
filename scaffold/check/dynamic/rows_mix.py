"""Rows that influence each other."""

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
    """Yield an output that changes with the other rows of the batch."""
    for training in (False, True):
        effect = probe.effects.mixing(training)
        if effect:
            mode = "training" if training else "evaluation"
            message = f"in {mode} mode, a row's output changes by {effect.size:.2g} of its size with the other rows"
            yield RULE.finding(message, measured=effect.size, **probe.places.method("forward"))
            return


RULE = Rule(
    id="rows-mix",
    severity="error",
    title="A row's output depends on the other rows of its batch.",
    why=(
        "A prediction changes with its company, and training sees what prediction will not: usually a softmax, a "
        "mean or a reshape over the wrong dimension."
    ),
    fix=(
        "Give the dimension by number and look which one the rows are: dim=0 is nearly always wrong, and PyTorch's "
        "recurrent, attention and Transformer layers take the rows first only with batch_first=True."
    ),
    example=changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled - pooled.mean(dim=0))")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.independent, needs.steady),
)

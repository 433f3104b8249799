"""Losses that start far from what knowing nothing costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

LEAST, MOST = 0.3, 2.0


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a note where the first loss is not near ln C."""
    from scaffold.check import probe_loss

    expected = probe_loss.loss_of_ignorance(probe)
    if expected is None:
        return
    found = float(probe.loss)
    if not LEAST * expected < found < MOST * expected + 1:
        message = f"the loss starts at {found:.3g}; a model that knows nothing has {expected:.3g}"
        yield RULE.finding(message, measured=found, **probe.places.method("forward"))


RULE = Rule(
    id="loss-start",
    severity="note",
    title="The loss starts far from ln C, which is what guessing costs.",
    why=(
        "Weights that start too large cost the first epochs; a loss that is summed over rows makes the learning "
        "rate depend on the batch."
    ),
    fix=(
        "Use the mean over rows, and initialise the head with small weights; nothing to do for a model that is "
        "trained already."
    ),
    example=changed(
        CLASSIFIER, ("F.cross_entropy(logits, labels)", 'F.cross_entropy(logits, labels, reduction="sum")')
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.finite, needs.shapes),
)

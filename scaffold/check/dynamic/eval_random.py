"""Chance in evaluation."""

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
    """Yield an output that differs between two equal calls in evaluation mode."""
    size = probe.repeats.by_chance
    if size > 1e-6:
        message = f"in evaluation mode two equal calls differ by {size:.2g} of the output's size"
        yield RULE.finding(message, measured=size, **probe.places.method("forward"))


RULE = Rule(
    id="eval-random",
    severity="error",
    title="The output is random in evaluation mode.",
    why="Predictions and metrics change from run to run; usually a functional dropout that does not know the mode.",
    fix="Use nn.Dropout, or F.dropout(x, p, training=self.training).",
    example=changed(
        CLASSIFIER, ("self.dropout(self.embedding(input_ids))", "F.dropout(self.embedding(input_ids), 0.1)")
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.plain,
)

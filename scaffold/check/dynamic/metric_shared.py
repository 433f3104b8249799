"""Metrics that two stages share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import LIGHTNING, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield metric objects that two stages update."""
    stages = probe.fitted.get().metrics
    for one, other in combinations(sorted(stages), 2):
        if shared := sorted(stages[one] & stages[other]):
            message = f"{one} and {other} both update {listed(shared)}"
            yield RULE.finding(message, measured=shared, **probe.places.layer(shared[0]))


RULE = Rule(
    id="metric-shared",
    severity="warning",
    title="Two stages share a metric object.",
    why="What one stage has counted can leak into the value of the other.",
    fix=(
        "Make a metric for each stage, such as self.val_accuracy and self.test_accuracy, or keep them in nn.ModuleDict."
    ),
    example=changed(
        LIGHTNING,
        ("self.test_accuracy(self", "self.val_accuracy(self"),
        ('"test/accuracy", self.test_accuracy', '"test/accuracy", self.val_accuracy'),
    ),
    instead=LIGHTNING,
    find=find,
    applies=needs.every(needs.gradient, needs.lightning),
)

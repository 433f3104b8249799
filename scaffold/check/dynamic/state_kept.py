"""State that is kept between batches."""

from __future__ import annotations

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
    """Yield an output that changes when another batch came in between."""
    from scaffold.check import probe_state
    from scaffold.check.probe_repeats import STATE

    size, mode = probe.repeats.by_state, "evaluation"
    if size <= STATE:
        size, mode = probe_state.state_in_training(probe), "training"
    if names := probe_state.changed_globals(probe):
        yield RULE.finding(
            f"forward changes {listed(names)} for good", measured=names, **probe.places.method("forward")
        )
    if size > STATE:
        message = (
            f"in {mode} mode the same rows give outputs that differ by {size:.2g} of their size after another batch"
        )
        yield RULE.finding(message, measured=size, **probe.places.method("forward"))


RULE = Rule(
    id="state-kept",
    severity="error",
    title="The output depends on the batches before.",
    why="A prediction changes with what was predicted before it, and no run can be repeated.",
    fix=(
        "Keep what belongs to a batch in local variables, not on self; detach and reset a hidden state that is "
        "meant to live on."
    ),
    example=changed(
        CLASSIFIER,
        ("self.head = nn", "self.last = 0.0\n        self.head = nn"),
        (
            "logits = self.head(pooled)",
            "logits = self.head(pooled + self.last)\n        self.last = pooled.detach().mean()",
        ),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.plain,
)

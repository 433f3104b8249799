"""Padding that changes the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.probe_crash import Crashed
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield outputs that change with more padding, or with what other rows of the batch made needful."""
    try:
        effects = probe.effects
        effect = effects.padding() or effects.padding_of_targets() or effects.padding_of_others()
    except Crashed as failed:
        yield RULE.finding(f"with three more positions of padding, {failed.crash}", **probe.places.crash(failed.crash))
        return
    if effect:
        message = f"longer padding changes an output by {effect.size:.2g} of its size"
        yield RULE.finding(message, measured=effect.size, **probe.places.method("forward"))


RULE = Rule(
    id="padding",
    severity="error",
    title="Padding changes the result.",
    why=(
        "A row's padding depends on the longest row beside it, so the same text gets different predictions in "
        "different batches."
    ),
    fix=(
        "Use the attention mask wherever positions are put together: in attention, mean, maximum, convolution and "
        "recurrent layers."
    ),
    example=changed(CLASSIFIER, ("(hidden * mask).sum(dim=1) / mask.sum(dim=1)", "hidden.mean(dim=1)")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.text, needs.steady),
)

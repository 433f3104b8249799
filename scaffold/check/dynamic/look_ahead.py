"""Causal models that see what comes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import LANGUAGE_MODEL, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield outputs that change with what comes after them."""
    effect, start = probe.effects.ahead()
    if effect:
        message = f"outputs before position {start} change by {effect.size:.2g} of their size with what stands there"
        yield RULE.finding(message, measured=effect.size, **probe.places.method("forward"))


def _applies(probe: Probe) -> str | None:
    if probe.contract.causal is None:
        return Inapplicable(f"a model for {probe.contract.family} may look both ways")
    return needs.steady(probe) if not probe.contract.needs_targets else needs.every(needs.finite, needs.shapes)(probe)


RULE = Rule(
    id="look-ahead",
    severity="error",
    title="An output depends on tokens that come after it.",
    why="Training reads the answer, so that its loss is low, and generation, which has no future to read, is poor.",
    fix="Mask attention with a lower triangle, pad convolutions on the left, use recurrent layers in one direction.",
    example=changed(LANGUAGE_MODEL, ("hidden.cumsum(dim=1) / count", "hidden.mean(dim=1, keepdim=True) + 0 * count")),
    instead=LANGUAGE_MODEL,
    find=find,
    applies=_applies,
    task="language-model",
)

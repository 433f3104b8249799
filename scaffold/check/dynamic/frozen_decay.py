"""Frozen weights that change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import LIGHTNING, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield weights that had no gradient in any step and changed, and those that an optimizer got before."""
    seen, place = probe.fitted.output, probe.places.method("configure_optimizers")
    changes = {name: change for name, change in seen.frozen_changed.items() if name not in probe.dead}
    if seen.frozen_late:
        message = f"on_fit_start freezes {listed(seen.frozen_late, 4)}, which the optimizer has got already"
        hook = probe.places.method("on_fit_start")
        yield RULE.finding(message, measured=seen.frozen_late, severity="warning", **hook)
    if changes:
        names = list(changes)
        message = f"{listed(names, 4)} had no gradient in any step, and changed"
        yield RULE.finding(message, measured=max(changes.values()), **place)


def _applies(probe: Probe) -> str | None:
    reason = needs.every(needs.weights, needs.gradient)(probe)
    return reason or (
        None if probe.is_lightning else Inapplicable("the model is no Lightning module: it has no steps of its own")
    )


RULE = Rule(
    id="frozen-decay",
    severity="error",
    title="A weight that is meant to be frozen changes.",
    why=(
        "Weight decay and momentum move every weight whose gradient is zero but there: a pretrained layer shrinks "
        "step by step."
    ),
    fix="Freeze with requires_grad_(False) before the optimizer is built, and give it trainable parameters only.",
    example=changed(
        LIGHTNING,
        ("lr=1e-3)", "lr=1e-3)\n\n    def on_after_backward(self):\n        self.embedding.weight.grad.zero_()"),
    ),
    instead=changed(
        LIGHTNING,
        ("self.dense = nn", "self.embedding.requires_grad_(False)\n        self.dense = nn"),
    ),
    find=find,
    applies=_applies,
)

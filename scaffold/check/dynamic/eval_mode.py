"""Parts that stay in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import LIGHTNING, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield parts with dropout or normalisation that the constructor, or a step, leaves in evaluation mode."""
    from scaffold.check.probe_modes import resting

    names, method = resting(probe.made), "__init__"
    if not names and probe.is_lightning:
        names, method = probe.fitted.output.resting, "training_step"
    if names:
        message = f"{listed(names, 4)} is in evaluation mode while the model is trained"
        yield RULE.finding(message, measured=names, **probe.places.method(method))


RULE = Rule(
    id="eval-mode",
    severity="warning",
    title="A part of the model is trained in evaluation mode.",
    why="Its dropout is off. from_pretrained returns a model in evaluation mode, and Lightning leaves it so.",
    fix="Call .train() on what from_pretrained returns; freeze with requires_grad_(False), not with eval().",
    example=changed(
        LIGHTNING,
        (
            "self.dense = nn.Linear(hidden_size, hidden_size)",
            "self.dense = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.Dropout(0.1)).eval()",
        ),
    ),
    instead=changed(
        LIGHTNING,
        (
            "self.dense = nn.Linear(hidden_size, hidden_size)",
            "self.dense = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.Dropout(0.1))",
        ),
    ),
    find=find,
    applies=needs.every(needs.weights, needs.output),
)

"""Language models whose labels are shifted by the wrong number."""

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
    """Yield a loss for a token that sees this token, or does not see the one before it."""
    sees_itself, sees_last = probe.seen_by_loss
    if sees_itself:
        message = (
            f"the loss for a token changes by {sees_itself.size:.2g} of its size with this very token of the input"
        )
        yield RULE.finding(message, measured=sees_itself.size, **probe.places.method("forward"))
    elif not sees_last:
        message = "the loss for a token does not depend on the token before it"
        yield RULE.finding(message, measured=sees_last.size, **probe.places.method("forward"))


def _applies(probe: Probe) -> str | None:
    if probe.contract.causal != "input_ids":
        return Inapplicable(f"a model for {probe.contract.family} does not predict its own input")
    reason = needs.every(needs.finite, needs.steady)(probe)
    if reason or probe.ignores is False:
        return reason or "targets cannot be ignored: see ignored-positions"
    return "outputs see what comes: see look-ahead" if probe.effects.ahead()[0] else None


RULE = Rule(
    id="label-shift",
    severity="error",
    title="Labels and outputs are not shifted by one token against each other.",
    why=(
        "Without the shift a model learns to copy the token it has just read; shifted twice it predicts the next "
        "but one."
    ),
    fix="Compare logits[:, :-1] with labels[:, 1:] in the model, or shift in collate, but not both.",
    example=changed(LANGUAGE_MODEL, ("logits[:, :-1].flatten(0, 1), labels[:, 1:]", "logits.flatten(0, 1), labels")),
    instead=LANGUAGE_MODEL,
    find=find,
    applies=_applies,
    task="language-model",
)

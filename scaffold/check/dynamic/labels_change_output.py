"""Outputs that depend on the labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

ENCODE = "Make the inputs of what a row to be predicted has, in every stage; let augmentation be for training alone."


def find(probe: Probe) -> Iterator[Finding]:
    """Yield inputs that `encode` makes of the label, and outputs that differ with and without labels."""
    if names := probe.leaks:
        message = f"encode makes another {listed(names)} of a row whose label is known"
        yield RULE.finding(message, measured=names, fix=ENCODE, **probe.places.method("encode"))
    if not probe.contract.needs_targets and (effect := probe.effects.targets()):
        message = f"the outputs change by {effect.size:.2g} of their size when labels are given"
        yield RULE.finding(message, measured=effect.size, **probe.places.method("forward"))


def _applies(probe: Probe) -> str | None:
    if probe.contract.needs_targets and probe.given.data is None:
        return Inapplicable(f"a model for {probe.contract.family} reads the targets before the one it predicts")
    return needs.every(needs.loss, needs.steady)(probe)


RULE = Rule(
    id="labels-change-output",
    severity="error",
    title="The output changes when labels are given.",
    why="Validation measures outputs that have seen the answer; prediction will not have it.",
    fix="Use the labels for the loss alone.",
    example=changed(
        CLASSIFIER,
        (
            "        loss = None",
            "        if labels is not None:\n"
            "            logits = logits + F.one_hot(labels, logits.size(-1))\n"
            "        loss = None",
        ),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

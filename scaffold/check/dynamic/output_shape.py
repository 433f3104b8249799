"""Outputs of another type or shape than the task asks for."""

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

ADAPTED = "Nothing, if your own loop makes the loss; a project's model returns the fields of its task's contract."


def find(probe: Probe) -> Iterator[Finding]:
    """Yield every field that is not what the contract promises."""
    adapter = probe.given.adapter
    if adapter is not None:
        severity, fix = adapter.severity, None if adapter.severity == "error" else ADAPTED
        yield RULE.finding(adapter.message, severity=severity, fix=fix, **probe.places.method("forward"))
    losses = [] if probe.unreadable or (adapter and probe.shape_problems) else probe.loss_problems
    for problem in [*probe.shape_problems, *losses]:
        yield RULE.finding(problem, fix=probe.remedy, **probe.places.method("forward"))
    if wide := probe.wider_outputs:
        message = f"{listed(wide)} is float64, which no weight of the model is"
        yield RULE.finding(message, measured=wide, severity="warning", **probe.places.method("forward"))


RULE = Rule(
    id="output-shape",
    severity="error",
    title="The output lacks a field, or a field has another type or shape.",
    why=(
        "Losses and metrics broadcast or flatten what they get: logits for each token, or transposed ones, may "
        "train without a word and mean something else."
    ),
    fix=(
        "Return the fields of the task's contract: logits of (rows, labels) for a classifier, so pool over the "
        "tokens first; a scalar loss when labels are given."
    ),
    example=changed(CLASSIFIER, ("pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)", "pooled = hidden * mask")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.output,
)

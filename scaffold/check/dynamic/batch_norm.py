"""Batch normalisation in models of texts."""

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


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a warning where only normalisation over the batch mixes its rows."""
    effect = probe.effects.batch_norm
    if effect:
        names = probe.effects.normalising
        message = f"in training, {listed(names, 4)} mixes the rows: an output changes by {effect.size:.2g} of its size"
        yield RULE.finding(message, measured=names, **probe.places.layer(names[0]))


def _applies(probe: Probe) -> str | None:
    if probe.contract.batch_norm:
        return Inapplicable(f"batch normalisation is usual in a model for {probe.contract.family}")
    return needs.every(needs.independent, needs.steady)(probe)


RULE = Rule(
    id="batch-norm",
    severity="warning",
    title="Batch normalisation mixes the rows of a batch of texts.",
    why=(
        "Batches of texts differ in length, so that its statistics do too, and training and prediction see "
        "different models; one row alone fails."
    ),
    fix="Use nn.LayerNorm.",
    example=changed(
        CLASSIFIER,
        ("nn.Dropout(0.1)", "nn.Dropout(0.1)\n        self.norm = nn.BatchNorm1d(hidden_size)"),
        ("self.head(pooled)", "self.head(self.norm(pooled))"),
    ),
    instead=changed(
        CLASSIFIER,
        ("nn.Dropout(0.1)", "nn.Dropout(0.1)\n        self.norm = nn.LayerNorm(hidden_size)"),
        ("self.head(pooled)", "self.head(self.norm(pooled))"),
    ),
    find=find,
    applies=_applies,
)

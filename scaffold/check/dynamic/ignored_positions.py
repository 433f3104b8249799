"""Targets that should count for nothing, and do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import TAGGER, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a loss that rows without targets change, and padding that has targets."""
    from scaffold.check import probe_loss

    if count := probe_loss.padding_with_targets(probe):
        message = f"{count} positions of padding have a target that is not {probe.contract.ignore_index}"
        yield RULE.finding(message, measured=count, **probe.places.method("collate"))
    if not probe.ignores:
        without, beside = probe.beside_ignored
        message = f"rows whose targets are all {probe.contract.ignore_index} change the loss of the others"
        measured = {"without them": without, "with them": beside}
        yield RULE.finding(message, measured=measured, **probe.places.method("forward"))


def _applies(probe: Probe) -> str | None:
    if probe.contract.ignore_index is None:
        return Inapplicable(f"every target of {probe.contract.family} counts")
    return needs.every(needs.finite, needs.independent)(probe)


RULE = Rule(
    id="ignored-positions",
    severity="error",
    title="Positions that are to be ignored contribute to the loss.",
    why=(
        "Padding and second pieces of words are labelled -100: counted as a class, or in the mean's denominator, "
        "they drown what counts, and more so in batches with more padding."
    ),
    fix="Use F.cross_entropy with its default ignore_index=-100; divide by the number of counted targets, not of all.",
    example=changed(
        TAGGER,
        ("loss = F.cross_entropy(", "each = F.cross_entropy("),
        ("ignore_index=-100)", 'ignore_index=-100, reduction="none")\n            loss = each.mean()'),
    ),
    instead=TAGGER,
    find=find,
    applies=_applies,
    task="tokens",
)

"""Results that depend on a row's place in the batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield outputs that change when the rows come in another order."""
    effect = probe.effects.order()
    if moved := probe.effects.moved:
        message = f"{len(moved)} of 5 rows get what another row should get"
        yield RULE.finding(message, measured=moved, **probe.places.method("forward"))
    elif effect:
        message = f"a row's output changes by {effect.size:.2g} of its size with its place in the batch"
        yield RULE.finding(message, measured=effect.size, **probe.places.method("forward"))


def _applies(probe: Probe) -> str | None:
    reason = needs.every(needs.independent, needs.steady)(probe)
    return reason or ("rows influence each other: see rows-mix" if probe.effects.mixing(False) else None)


RULE = Rule(
    id="row-order",
    severity="error",
    title="A row's output depends on its place in the batch.",
    why="The same row gets another prediction elsewhere; usually positions are counted along the rows.",
    fix="Look for arange, cumsum, sort or a recurrent layer without batch_first=True along the first dimension.",
    example=changed(
        CLASSIFIER,
        ("from torch import nn", "import torch\nfrom torch import nn"),
        ("self.head(pooled)", "self.head(pooled) + torch.arange(len(pooled)).unsqueeze(-1)"),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

"""Models that come back from a file as others."""

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
    """Yield what is lost on the way through a file."""
    from scaffold.check.probe_reload import problems

    for problem, measured in problems(probe):
        yield RULE.finding(problem, measured=measured, **probe.places.method("__init__"))


RULE = Rule(
    id="reload",
    severity="error",
    title="A model that is saved and loaded again gives other outputs.",
    why=(
        "What is trained is not what is used: a tensor that is no parameter and no buffer is not saved, nor is a "
        "layer that forward makes."
    ),
    fix="Make all layers in __init__, and keep tensors with register_buffer or as nn.Parameter.",
    example=changed(
        CLASSIFIER,
        ("from torch import nn", "import torch\nfrom torch import nn"),
        (
            "self.head = nn",
            "self.projection = torch.randn(hidden_size, hidden_size) / hidden_size**0.5\n        self.head = nn",
        ),
        ("self.head(pooled)", "self.head(pooled @ self.projection)"),
    ),
    instead=changed(
        CLASSIFIER,
        ("from torch import nn", "import torch\nfrom torch import nn"),
        (
            "self.head = nn",
            "projection = torch.randn(hidden_size, hidden_size) / hidden_size**0.5\n"
            '        self.register_buffer("projection", projection)\n        self.head = nn',
        ),
        ("self.head(pooled)", "self.head(pooled @ self.projection)"),
    ),
    find=find,
    applies=needs.steady,
)

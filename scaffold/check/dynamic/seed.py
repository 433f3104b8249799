"""Randomness that the seed does not govern."""

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
    """Yield weights or losses that a seed does not repeat, and code that sets the seed itself."""
    from scaffold.check import probe_state

    for problem, measured, method in probe_state.seed_problems(probe):
        yield RULE.finding(problem, measured=measured, **probe.places.method(method))


RULE = Rule(
    id="seed",
    severity="error",
    title="The seed does not govern all randomness.",
    why="Runs cannot be repeated; code that sets the global seed in forward makes every dropout mask the same.",
    fix="Draw from torch's default generator, and leave torch.manual_seed to the training script.",
    example=changed(
        CLASSIFIER,
        ("from torch import nn", "import torch\nfrom torch import nn"),
        ("        mask = attention", "        torch.manual_seed(0)\n        mask = attention"),
    ),
    instead=changed(CLASSIFIER, ("from torch import nn", "import torch\nfrom torch import nn")),
    find=find,
    applies=needs.every(needs.weights, needs.output),
)

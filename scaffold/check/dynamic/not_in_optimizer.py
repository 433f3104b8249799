"""Trainable weights that no optimizer has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding, counted
from scaffold.check.rule import Rule
from scaffold.errors import listed

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield weights that the loss depends on and that are no parameters, or are in no optimizer."""
    from scaffold.check import probe_loss

    if shapes := probe_loss.unregistered(probe):
        message = f"the loss depends on {counted(len(shapes), 'trainable tensor')} that parameters() does not list"
        yield RULE.finding(message, measured=shapes, **probe.places.method("__init__"))
    if needs.lightning(probe) is None:
        yield from _in_training(probe)


def _in_training(probe: Probe) -> Iterator[Finding]:
    seen = probe.fitted.get()
    if seen.outside:
        message = f"configure_optimizers leaves out {listed(seen.outside, 4)}"
        yield RULE.finding(message, measured=seen.outside, **probe.places.method("configure_optimizers"))
    elif not seen.steps:
        yield RULE.finding(
            "training_step returns no loss, so that no step is taken", **probe.places.method("training_step")
        )
    elif not seen.has_learnt and not seen.rate:
        yield RULE.finding("the learning rate is 0", measured=seen.rate, **probe.places.method("configure_optimizers"))


RULE = Rule(
    id="not-in-optimizer",
    severity="error",
    title="A trainable weight is in no optimizer.",
    why=(
        "It gets gradients and is never changed by them; a layer in a plain list or dict is neither trained, nor "
        "moved to the GPU, nor saved."
    ),
    fix=(
        "Give the optimizer self.parameters(); keep layers in nn.ModuleList or nn.ModuleDict and tensors in "
        "nn.Parameter."
    ),
    example=changed(
        CLASSIFIER,
        ("self.head = nn.Linear(hidden_size, num_labels)", "self.heads = [nn.Linear(hidden_size, num_labels)]"),
        ("self.head(pooled)", "self.heads[0](pooled)"),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.gradient,
)

"""Changes in place that backward, or the next batch, suffers from."""

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


def find(probe: Probe) -> Iterator[Finding]:
    """Yield changes to what backward needs, to the weights, and to the batch."""
    from scaffold.check import probe_state

    crash = probe.in_place_crash
    if crash is not None:
        yield RULE.finding(str(crash), **probe.places.crash(crash))
    elif names := probe_state.changed_weights(probe):
        message = f"{listed(names, 4)} changes between the start of a step and its backward pass"
        yield RULE.finding(
            message, measured=names, **probe.places.method("training_step" if probe.is_lightning else "forward")
        )
    if keys := probe_state.changed_inputs(probe):
        yield RULE.finding(
            f"forward changes {listed(keys)} of its batch", measured=keys, **probe.places.method("forward")
        )


def _applies(probe: Probe) -> str | None:
    return needs.every(needs.loss, needs.trainable)(probe)


RULE = Rule(
    id="in-place",
    severity="error",
    title="A tensor is changed in place that is still needed.",
    why=(
        "Weights that change between forward and backward give gradients for other weights than the ones they are "
        "applied to; a changed batch is another batch in the next epoch."
    ),
    fix="Make a new tensor instead of writing into one; change weights in on_train_batch_end, after the step.",
    example=changed(
        CLASSIFIER,
        ("        mask = attention", "        input_ids[:, 1:] = input_ids[:, :-1].clone()\n        mask = attention"),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

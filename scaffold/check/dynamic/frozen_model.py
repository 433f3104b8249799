"""Models of which nothing can be trained."""

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
    """Yield a model whose loss reaches frozen weights alone."""
    from scaffold.check import probe_loss

    if probe.is_lightning and not probe.fitted.output.trainable:
        yield RULE.finding("when training begins, every parameter is frozen", **probe.places.method("on_fit_start"))
    elif probe_loss.is_frozen(probe):
        frozen = sum(not parameter.requires_grad for parameter in probe.model.parameters())
        message = (
            f"all {frozen} parameters that the loss depends on are frozen" if frozen else "there are no parameters"
        )
        yield RULE.finding(message, measured=frozen, **probe.places.method("__init__"))


RULE = Rule(
    id="frozen-model",
    severity="error",
    title="Everything is frozen.",
    why="Nothing is learnt; freezing a backbone whose embedding is tied to the head freezes the head too.",
    fix="Freeze the parts that are meant, by name, and leave the head trainable.",
    example=changed(CLASSIFIER, ("num_labels)\n\n", "num_labels)\n        self.requires_grad_(False)\n\n")),
    instead=CLASSIFIER,
    find=find,
    applies=needs.loss,
)

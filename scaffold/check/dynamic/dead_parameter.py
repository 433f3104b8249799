"""Trainable weights that never get a gradient."""

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

UNEQUAL = "Start one of them at random, as low-rank updates do; the other may be zero."


def find(probe: Probe) -> Iterator[Finding]:
    """Yield the layers that no batch reaches, one finding for each."""
    layers: dict[str, list[str]] = {}
    for name in probe.dead:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    for layer, names in _joined(layers).items():
        for part, its_names in _by_owner(probe, names).items():
            yield _told(probe, layer, part, its_names)
    if names := probe.stuck:
        message = f"{listed(names, 4)} are all zero, and each gets a gradient only once another is not"
        yield RULE.finding(message, measured=names, fix=UNEQUAL, **probe.places.layer(names[0]))


def _told(probe: Probe, layer: str, part: str, names: list[str]) -> Finding:
    message = f"{listed(names, 4)} never {'gets' if len(names) == 1 else 'get'} a gradient"
    place = probe.places.layer(layer)
    if not part:
        return RULE.finding(message, measured=names, **place)
    fix = "Build the model without it: add_pooling_layer=False." if part.endswith("pooler") else None
    return RULE.finding(
        f"{message}: {part} is a library's, and unused", measured=names, severity="warning", fix=fix, **place
    )


def _by_owner(probe: Probe, names: list[str]) -> dict[str, list[str]]:
    """Return the names by the part that a library put into its own model; those of the person's layers under ''."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(probe.unused_part(name), []).append(name)
    return found


def _joined(layers: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return one entry for all layers of the same part, as one mistake left them all out."""
    found: dict[str, list[str]] = {}
    for layer, names in layers.items():
        found.setdefault(layer.partition(".")[0], []).extend(names)
    return found


def _applies(probe: Probe) -> str | None:
    reason = needs.gradient(probe)
    return reason or ("nothing gets a gradient: see loss-detached" if probe.loss_is_detached else None)


RULE = Rule(
    id="dead-parameter",
    severity="error",
    title="A trainable weight never gets a gradient.",
    why=(
        "The layer is not used, cut off by detach, argmax or no_grad, or multiplied by another that is zero and waits "
        "for it: it stays as it was initialised. Training "
        "on several devices stops with an error over it."
    ),
    fix="Use the layer in forward, or delete it; freeze it with requires_grad_(False) if it is meant to stay as it is.",
    example=changed(
        CLASSIFIER, ("self.head = nn", "self.dense = nn.Linear(hidden_size, hidden_size)\n        self.head = nn")
    ),
    instead=CLASSIFIER,
    find=find,
    applies=_applies,
)

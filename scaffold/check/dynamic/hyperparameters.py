"""Hyperparameters that are no plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scaffold.check import needs
from scaffold.check.dynamic._examples import LIGHTNING, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield every hyperparameter that a checkpoint cannot hold safely."""
    for name, value in dict(getattr(probe.model, "hparams", {})).items():
        if not _is_plain(value):
            message = f"the hyperparameter {name} is a {type(value).__name__}"
            yield RULE.finding(message, measured=name, **probe.places.method("__init__"))


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _applies(probe: Probe) -> str | None:
    reason = needs.every(needs.weights, needs.output)(probe)
    return reason or (None if hasattr(probe.model, "hparams") else Inapplicable("the model saves no hyperparameters"))


RULE = Rule(
    id="hyperparameters",
    severity="error",
    title="A hyperparameter is an object, not plain data.",
    why="A checkpoint with it can only be loaded by running code from the file, which safe loading refuses.",
    fix="save_hyperparameters(ignore=[…]) for objects; hand on numbers, strings, lists and dicts only.",
    example=changed(
        LIGHTNING,
        (
            "num_labels=3):\n        super().__init__()",
            "num_labels=3, activation=nn.GELU()):\n        super().__init__()\n        self.save_hyperparameters()",
        ),
    ),
    instead=changed(
        LIGHTNING,
        (
            "num_labels=3):\n        super().__init__()",
            'num_labels=3, activation="gelu"):\n        super().__init__()\n        self.save_hyperparameters()',
        ),
    ),
    find=find,
    applies=_applies,
)

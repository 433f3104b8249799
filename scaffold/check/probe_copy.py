"""Copies of a model: quicker than making it again, where nothing in it still points to the one it was copied from."""

from __future__ import annotations

import copy
from types import FunctionType
from typing import Any

from torch import nn
from torchmetrics import Metric

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
SHARED = ("recipe", "vocabulary")  # what the runtime's models know of their data; nothing changes it


def is_copied_well(model: nn.Module) -> bool:
    """Return whether a copy shares nothing with the model: a function in it may hold the model that it was made for."""
    # metrics wrap their methods, and know how to copy themselves
    return not any(_holds_function(part) for part in model.modules() if not isinstance(part, Metric))


def copied_model(model: nn.Module) -> nn.Module:
    """Return a deep copy of a model, which shares what the runtime never changes."""
    kept = [getattr(model, name, None) for name in SHARED]
    return copy.deepcopy(model, {id(value): value for value in kept if value is not None})


def _holds_function(part: nn.Module) -> bool:
    return any(getattr(part, name, None) for name in HOOKS) or any(map(_is_bound, vars(part).values()))


def _is_bound(value: Any) -> bool:
    """Return whether a value, or one inside it, is a function that holds others."""
    if isinstance(value, dict):
        return any(map(_is_bound, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_is_bound, value))
    return isinstance(value, FunctionType) and value.__closure__ is not None

"""What differs between two outputs, where it counts and relative to their size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from scaffold.runtime.contracts import Contract, entry

HUGE = 1e4  # what stands for minus infinity in scores that are masked out


def scores_of(contract: Contract, output: Any, batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the outputs of the contract, zero where padding or an ignored target makes them mean nothing."""
    found = {}
    for name, dimensions in contract.outputs.items():
        value = entry(output, name)
        if isinstance(value, Tensor):
            found[name] = _visible(value.detach().double(), visible(contract, dimensions, batch))
    return found


def visible(contract: Contract, dimensions: Iterable[str], batch: Mapping[str, Any]) -> Tensor | None:
    """Return (rows, positions) of an output that mean something; None where all do."""
    second = list(dimensions)[1:2]
    if second == ["length"]:
        mask = batch.get("attention_mask")
        return None if mask is None else mask.bool()
    if second == ["words"]:
        return _words(batch)
    target = batch.get(contract.targets[0])
    if second == ["target length"] and target is not None and contract.ignore_index is not None:
        return target != contract.ignore_index
    return None


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """Return the largest difference relative to the largest value; infinite where shapes differ."""
    worst = 0.0
    for name, value in one.items():
        if name not in other or value.shape != other[name].shape:
            return math.inf
        if value.numel():
            worst = max(worst, _relative(value, other[name]))
    return worst


def is_same(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors hold the same; what is no number is the same as itself."""
    return torch.equal(one, other) or (
        one.shape == other.shape and one.is_floating_point() and bool(one.isclose(other, 0, 0, equal_nan=True).all())
    )


def _relative(one: Tensor, other: Tensor) -> float:
    gap = (one - other).abs().max().item()
    scale = max(one.abs().max().item(), other.abs().max().item())
    if math.isnan(gap):
        return math.inf
    return gap / scale if scale > 0 else 0.0


def _visible(value: Tensor, mask: Tensor | None) -> Tensor:
    finite = torch.where(value.abs() < HUGE, value, torch.zeros_like(value))
    if mask is None or mask.shape != value.shape[:2]:
        return finite
    return finite * mask.reshape(*mask.shape, *[1] * (value.dim() - 2))


def _words(batch: Mapping[str, Any]) -> Tensor | None:
    words = batch.get("word_ids")
    if words is None:
        return None
    places = torch.arange(int(words.max()) + 1)
    return places < words.max(dim=1, keepdim=True).values + 1

"""Averages over an epoch that cost a training step next to nothing: sums, divided when they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor


class Averages:
    """Sums of values and of the items they were counted over; divided when they are read."""

    def __init__(self) -> None:
        self.items: Tensor | float = 0.0
        self.sums: dict[str, Tensor | float] = {}

    def add(self, items: Tensor | float, sums: Mapping[str, Tensor | float]) -> None:
        """Add the sums of one batch over its items."""
        self.items = self.items + number(items)
        for name, value in sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + number(value)

    def compute(self, reduce: Callable[[Tensor], Tensor] = lambda sums: sums) -> dict[str, float]:
        """Return every average; `reduce` adds the sums of other processes. Nothing added gives nothing."""
        if not self.sums:
            return {}
        totals = reduce(torch.stack([torch.as_tensor(value).double().cpu() for value in self._all()])).tolist()
        return {name: total / max(totals[0], 1.0) for name, total in zip(self.sums, totals[1:], strict=True)}

    def state(self) -> dict[str, float]:
        """Return the sums as plain numbers, for a checkpoint within an epoch."""
        return {"items": float(self.items)} | {name: float(value) for name, value in self.sums.items()}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what `state` returned."""
        self.items = state["items"]
        self.sums = {name: value for name, value in state.items() if name != "items"}

    def reset(self) -> None:
        """Start a new epoch."""
        self.items, self.sums = 0.0, {}

    def _all(self) -> list[Tensor | float]:
        return [self.items, *self.sums.values()]


def number(value: Tensor | float) -> Tensor | float:
    """Return a value as a plain number; a GPU's stays there, as reading it would make every step wait."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().double() if value.is_cuda else value.item()

"""A batch: exactly the tensors that `forward` takes, and beside them the rows they came from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from scaffold.runtime.samples import Sample


class Batch(dict[str, Any]):
    """The keyword arguments of `forward`; `model(**batch)` works in every training loop.

    samples: the rows, in order; empty in training unless `forward` names them.
    owners: (features,) the row of each feature where a row became several, else None.
    rows: (rows,) the rows' positions in their split.
    features: what the task's `decode_features` keep of each feature, such as character offsets; empty in training.
    """

    def __init__(
        self,
        tensors: Mapping[str, Any],
        samples: Sequence[Sample] = (),
        owners: np.ndarray | None = None,
        rows: np.ndarray | None = None,
        features: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(tensors)
        self.samples = list(samples)
        self.owners = owners
        self.rows = rows
        self.features = features

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch with its tensors on another device."""
        moved = {key: _to(value, device, non_blocking) for key, value in self.items()}
        return self._holding(moved)

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory, from which copies to a GPU run in the background."""
        pinned = {key: value.pin_memory() if isinstance(value, torch.Tensor) else value for key, value in self.items()}
        return self._holding(pinned)

    def with_samples(self) -> dict[str, Any]:
        """Return the arguments of `batch_predict`: tensors, samples and, where there are any, owners and features."""
        extra: dict[str, Any] = {} if self.owners is None else {"owners": self.owners}
        if self.features:
            extra["features"] = self.features
        return {**self, "samples": self.samples, **extra}

    def first(self, count: int | None) -> Batch:
        """Return what of the batch is among the first `count` rows of the split; None: all. A row is one feature."""
        if count is None or self.rows is None or (self.rows < count).all():
            return self
        places = np.flatnonzero(self.rows < count)
        chosen = {key: value[places] if isinstance(value, torch.Tensor) else value for key, value in self.items()}
        return Batch(chosen, [self.samples[place] for place in places], rows=self.rows[places])

    def __reduce__(self) -> tuple[Any, ...]:
        return Batch, (dict(self), self.samples, self.owners, self.rows, self.features)

    def _holding(self, tensors: Mapping[str, Any]) -> Batch:
        return Batch(tensors, self.samples, self.owners, self.rows, self.features)


def _to(value: Any, device: torch.device | str, non_blocking: bool) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, Mapping):
        return {key: _to(item, device, non_blocking) for key, item in value.items()}
    return value


def forward_names(model_class: Any) -> frozenset[str]:
    """Return the names of the parameters of a model's `forward`."""
    return frozenset(inspect.signature(model_class.forward).parameters)


def kept_features(task: Any, features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a task's `decode` needs of the features besides the tensors; nothing for most tasks."""
    if not task.decode_features:
        return []
    return [{name: feature[name] for name in task.decode_features} for feature in features]


def distinct_rows(owners: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the rows of a batch in order and, where a row has several features, the place of each feature's row."""
    rows, first, places = np.unique(owners, return_index=True, return_inverse=True)
    if len(rows) == len(owners):
        return owners, None
    order = np.argsort(first)
    return rows[order], np.argsort(order)[places]

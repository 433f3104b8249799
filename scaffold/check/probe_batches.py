"""The same batch in another guise: fewer rows, another order, more padding, other targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from scaffold.runtime.contracts import Contract

Tensors = dict[str, Any]


def without_targets(batch: Mapping[str, Any], contract: Contract) -> Tensors:
    """Return the batch as prediction gets it; where there is no output without targets, they stay."""
    return {key: value for key, value in batch.items() if contract.needs_targets or key not in contract.targets}


def taken(batch: Mapping[str, Any], rows: Sequence[int]) -> Tensors:
    """Return some rows of a batch, in this order."""
    index = torch.tensor(rows)
    count = count_rows(batch)
    return {key: _rows(value, index, count) for key, value in batch.items()}


def count_rows(batch: Mapping[str, Any]) -> int:
    """Return how many rows (or features) a batch has."""
    return next(len(value) for value in batch.values() if isinstance(value, Tensor) and value.dim())


def lengthened(
    batch: Mapping[str, Any], contract: Contract, extra: int, pad_id: int, *, left: bool = False, of: str = "length"
) -> Tensors:
    """Return the batch with more padding along the dimension `of`; positions counted from the left move with it."""
    longer = dict(batch)
    for key, value in batch.items():
        names = contract.shapes.get(key, ())
        is_along = key not in contract.shapes and of == "length" and _is_along(batch, contract, value)
        if isinstance(value, Tensor) and (names[1:2] == (of,) or is_along):
            fill = _own_padding(batch, value) if is_along else padding_of(contract, key, pad_id)
            block = value.new_full((len(value), extra, *value.shape[2:]), fill)
            longer[key] = torch.cat([block, value] if left else [value, block], dim=1)
        elif left and key in contract.targets and contract.uniform_over == "length":
            longer[key] = value + extra
    return longer


def _is_along(batch: Mapping[str, Any], contract: Contract, value: Any) -> bool:
    """Return whether a tensor that the contract does not know has an entry for each position."""
    first = batch.get(contract.inputs[0])
    return isinstance(value, Tensor) and isinstance(first, Tensor) and value.shape[:2] == first.shape[:2]


def _own_padding(batch: Mapping[str, Any], value: Tensor) -> Any:
    """Return what stands in a tensor where the batch has padding already."""
    mask = batch.get("attention_mask")
    padded = value[mask == 0] if isinstance(mask, Tensor) and mask.shape == value.shape else value[:0]
    return padded[0].item() if padded.numel() else 0


def shortened(batch: Mapping[str, Any], contract: Contract, rows: Sequence[int], pad_id: int) -> Tensors:
    """Return the batch with the last token of some rows made padding; the longest rows stay, and so all shapes."""
    mask = batch.get("attention_mask")
    if mask is None or mask.dim() != 2:
        return dict(batch)
    lengths = mask.sum(dim=1)
    shorter = dict(batch)
    for row in rows:
        if 3 <= lengths[row] < lengths.max():
            last = int(mask[row].nonzero().max())
            for key in [key for key in (*contract.inputs, *contract.optional) if key in batch]:
                if shorter[key].shape == mask.shape:
                    shorter[key] = shorter[key].clone()
                    shorter[key][row, last] = padding_of(contract, key, pad_id)
    return shorter


def trimmed(scores: Mapping[str, Tensor], before: Mapping[str, Tensor], *, left: bool = False) -> dict[str, Tensor]:
    """Return scores without the positions that `lengthened` added to what they were before."""
    return {name: _trimmed(value, before[name], left) for name, value in scores.items() if name in before}


def _trimmed(value: Tensor, before: Tensor, left: bool) -> Tensor:
    if value.dim() < 2 or value.dim() != before.dim() or value.shape[1] <= before.shape[1]:
        return value
    return value[:, -before.shape[1] :] if left else value[:, : before.shape[1]]


def padding_of(contract: Contract, key: str, pad_id: int) -> int:
    """Return what fills up a tensor of a batch."""
    if key == "input_ids":
        return pad_id
    if key in contract.targets:
        return contract.ignore_index if contract.ignore_index is not None else 0
    return contract.padding.get(key, 0)


def other_targets(batch: Mapping[str, Any], contract: Contract, classes: int) -> Tensors:
    """Return the batch with every target changed; what is ignored stays so."""
    return _targets(batch, contract, lambda value: _next(value, classes, contract.ignore_index))


def ignored_targets(batch: Mapping[str, Any], contract: Contract, rows: Sequence[int]) -> Tensors:
    """Return the batch with the targets of some rows ignored."""

    def ignore(value: Tensor) -> Tensor:
        changed = value.clone()
        changed[list(rows)] = contract.ignore_index or 0
        return changed

    return _targets(batch, contract, ignore)


def _targets(batch: Mapping[str, Any], contract: Contract, change: Callable[[Tensor], Tensor]) -> Tensors:
    return {key: change(value) if key in contract.targets else value for key, value in batch.items()}


def _next(value: Tensor, classes: int, ignored: int | None) -> Tensor:
    if value.is_floating_point():
        whole = bool(((value == 0) | (value == 1)).all())
        return 1 - value if whole else value + 1
    changed = (value + 1) % max(classes, 2)
    return changed if ignored is None else torch.where(value == ignored, value, changed)


def _rows(value: Any, index: Tensor, count: int) -> Any:
    if isinstance(value, Tensor):
        return value[index] if value.dim() and len(value) == count else value
    if isinstance(value, list) and len(value) == count:
        return [value[row] for row in index.tolist()]
    return value

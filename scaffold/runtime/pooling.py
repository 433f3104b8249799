"""From token states to one vector a row, padding left out."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average the states of real tokens: (rows, length, size) and (rows, length) -> (rows, size)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def max_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Take each feature's maximum over real tokens: (rows, length, size) and (rows, length) -> (rows, size)."""
    lowest = torch.finfo(hidden.dtype).min
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, lowest).amax(dim=1)


def mean_max_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Put mean and maximum side by side: (rows, length, size) and (rows, length) -> (rows, 2 * size)."""
    return torch.cat([mean_pool(hidden, mask), max_pool(hidden, mask)], dim=-1)

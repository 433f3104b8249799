"""From token states to one vector a row, padding left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average the states of real tokens: (rows, length, size) and (rows, length) -> (rows, size)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


def max_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Take each feature's maximum over real tokens: (rows, length, size) and (rows, length) -> (rows, size)."""
    lowest = torch.finfo(hidden.dtype).min
    return hidden.masked_fill(mask.unsqueeze(-1) == 0, lowest).amax(dim=1)


class AttentionMaxPool(nn.Module):
    """Weigh tokens by what they hold, and put each feature's maximum beside: (rows, length, size) -> (rows, 2 * size).

    Each of `heads` equal parts of the features has weights of its own, so that it can look at other tokens.
    """

    def __init__(self, size: int, heads: int = 4) -> None:
        super().__init__()
        if size % heads:
            raise ValueError(f"Expected a size that {heads} heads divide, got {size}.")
        self.heads = heads
        self.output_size = 2 * size
        self.query = nn.Linear(size, heads)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool the states of real tokens: (rows, length, size) and (rows, length)."""
        scores = self.query(hidden)
        weights = scores.masked_fill(mask.unsqueeze(-1) == 0, torch.finfo(scores.dtype).min).softmax(dim=1)
        parts = hidden.unflatten(-1, (self.heads, -1))
        attended = torch.einsum("rlh,rlhd->rhd", weights, parts).flatten(1)
        return torch.cat([attended, max_pool(hidden, mask)], dim=-1)

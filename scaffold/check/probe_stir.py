"""A model in general position: double precision, and no weight that is zero, or like another, by its initialisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_call import seeded

NOISE = 0.1  # of a parameter's own size
LEAST = 0.02


def stir(model: nn.Module, seed: int = 0, strength: float = 1.0) -> nn.Module:
    """Add noise to every trainable weight, so that each has an effect that can be measured; `strength` times as much.

    A row of zeros among others, as of a padding token, stays: models rely on it.
    """
    with seeded(seed), torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad and parameter.is_floating_point():
                parameter.add_(strength * _noise(parameter))
    return model


def as_model(batch: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """Return the batch with its floats in the precision of the model."""
    dtype = next((one.dtype for one in model.parameters() if one.is_floating_point()), torch.float32)
    return {key: _cast(value, dtype) for key, value in batch.items()}


def _noise(parameter: Tensor) -> Tensor:
    size = parameter.pow(2).mean().sqrt().item() if parameter.numel() else 0.0
    noise = torch.randn(parameter.shape).to(parameter.dtype) * max(LEAST, NOISE * size)
    if parameter.dim() > 1 and size > 0:
        noise[(parameter == 0).flatten(1).all(dim=1)] = 0
    return noise


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

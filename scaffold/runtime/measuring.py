"""Adding a batch to metrics one by one, so that the one that cannot take it is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from scaffold.errors import ModelError

UNFIT = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)
SPREAD = "average it, or name its figures: torchmetrics' ClasswiseWrapper(metric, labels=[…]) has one for each label"


def update_each(metrics: MetricCollection | Mapping[str, Metric], *values: Any) -> None:
    """Add a batch to every metric; ModelError names the one that cannot take it.

    values: what is predicted, and what is right.
    """
    for name, metric in metrics.items():
        try:
            metric.update(*values)
        except (torch.OutOfMemoryError, NotImplementedError):  # RuntimeErrors that say enough themselves
            raise
        except UNFIT as problem:
            raise ModelError(
                f"the metric {name} cannot be updated",
                because=f"{type(metric).__name__}.update ended with {type(problem).__name__}: {_first_line(problem)}",
                fix="the task's update_metrics hands all metrics what is predicted and what is right, as numbers; "
                "override it for one that wants scores, or anything else",
                code="model.metric",
            ) from problem


def refuse_several(figures: Mapping[str, Any]) -> None:
    """Raise ModelError for a metric whose value is not one figure, which nothing could log."""
    for name, value in figures.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            raise ModelError(
                f"the metric {name} is not one figure",
                because=f"its compute returns a tensor of shape {tuple(value.shape)}",
                fix=SPREAD,
                code="model.metric",
            )


def _first_line(problem: Exception) -> str:
    return str(problem).strip().partition("\n")[0]

"""Predictions of a project's rows, with its own hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_stir import stir


def predicted(bench: Bench, samples: Sequence[Any], doing: str, model: nn.Module | None = None) -> Ran:
    """Return the pairs of samples and predictions, of a new model or of this one."""
    from scaffold.runtime.prediction import predict

    stirred = stir(bench.fresh()) if model is None else model  # untrained, it would call every row the same
    return attempt(doing, lambda: list(predict(stirred.eval(), samples)))

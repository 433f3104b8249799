"""Predictions of a project's rows, with its own hooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_stir import stir


def predicted(bench: Bench, samples: Sequence[Any], doing: str) -> Ran:
    """Return the pairs of samples and predictions."""
    from scaffold.runtime.prediction import predict

    model = stir(bench.fresh()).eval()  # untrained, it would call every row the same
    return attempt(doing, lambda: list(predict(model, samples)))

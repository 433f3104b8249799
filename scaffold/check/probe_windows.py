"""Rows that are longer than a task's max_length: cut, or spread over several windows, as the task does it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt, call
from scaffold.runtime.batch import forward_names
from scaffold.runtime.task import Context

SHORT, LEAST = 16, 4  # tokens: what every task of the runtime takes as its max_length, and what some take
DOING = "a batch of rows longer than max_length"


def run_long(bench: Bench) -> Ran:
    """Run the model on rows that are longer than max_length, which is lowered for it; nothing where none can be."""
    found = next(_cut_rows(bench.rows), None) if bench.given.data is not None else None
    if found is None:
        return Ran()
    context, sample, features = found
    ran = attempt(f"collate of {DOING}", lambda: _collated(bench, context, sample, features))
    return ran if ran.crash else call(bench.fresh(), ran.output, doing=f"forward of {DOING}")


def _collated(bench: Bench, context: Context, sample: Any, features: list[dict[str, Any]]) -> dict[str, Any]:
    task = bench.given.data.task
    tensors: dict[str, Any] = task.collate(features, context, "validation", np.random.default_rng(0))
    return tensors | ({"samples": [sample] * len(features)} if "samples" in forward_names(task) else {})


def _cut_rows(rows: Any) -> Iterator[tuple[Context, Any, list[dict[str, Any]]]]:
    """Yield a row's features under a lower max_length that does not hold it, with the context that has it."""
    longest = sorted(rows.chosen, key=lambda pair: -rows.task.length(pair[1]))[:3]
    for sample, whole in longest:
        length = rows.task.length(whole)
        for limit in (SHORT, length // 2, length - 1, LEAST):
            context = _limited(rows.context, limit) if LEAST <= limit < length else None
            ran = attempt("encode", lambda c=context, s=sample: rows.task.encode(s, c, "validation"))  # type: ignore[misc]
            if context is not None and ran.crash is None and ran.output:
                yield context, sample, [_feature(one) for one in ran.output]


def _limited(context: Context, limit: int) -> Context | None:
    """Return the context with a lower max_length; None where its options have none, or do not take it."""
    options = context.options
    if not isinstance(getattr(options, "max_length", None), int):
        return None
    changes = {"max_length": limit} | ({"stride": limit // 4} if hasattr(options, "stride") else {})
    ran = attempt("options", lambda: replace(options, **changes))
    return None if ran.crash else replace(context, options=ran.output)


def _feature(feature: Any) -> dict[str, Any]:
    return {key: value for key, value in feature.items() if key != "truncated"}

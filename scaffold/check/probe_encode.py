"""Whether a project's `encode` puts the answer into the inputs: without its label a row must look the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_rows import ROWS


def leaks(bench: Bench) -> list[str]:
    """Return the inputs of the first rows that are others when they are to be predicted."""
    if bench.contract.causal == "input_ids":  # what it reads is what it predicts
        return []
    samples = bench.rows.samples(range(ROWS))  # type: ignore[attr-defined]
    return sorted({key for sample in samples for key in _changed(bench, sample)})


def _changed(bench: Bench, sample: Any) -> list[str]:
    known = _inputs(bench, sample, "validation")
    unknown = _inputs(bench, _without_targets(bench, sample), "predict")
    if known is None or unknown is None or known.keys() != unknown.keys():
        return []
    return [key for key, value in known.items() if not np.array_equal(value, unknown[key])]


def _without_targets(bench: Bench, sample: Any) -> Any:
    """Return the sample without the fields that a labelled row cannot do without, and one to predict can."""
    optional = [field.name for field in dataclasses.fields(sample) if field.default is None and field.name != "origin"]
    needed = [name for name in optional if _encoded(bench, _blank(sample, name), "validation").crash is not None]
    blank = dataclasses.replace(sample, **dict.fromkeys(needed))
    return sample if _encoded(bench, blank, "predict").crash else blank


def _blank(sample: Any, name: str) -> Any:
    return dataclasses.replace(sample, **{name: None})


def _inputs(bench: Bench, sample: Any, stage: str) -> Mapping[str, Any] | None:
    """Return the inputs among the features of a row, of all its windows; None where there are none."""
    ran = _encoded(bench, sample, stage)
    if ran.crash or not ran.output:
        return None
    keys = [key for key in bench.contract.inputs if key in ran.output[0]]
    return {key: np.concatenate([np.asarray(one[key]).ravel() for one in ran.output]) for key in keys}


def _encoded(bench: Bench, sample: Any, stage: str) -> Ran:
    data = bench.given.data
    return attempt("encode", lambda: data.task.encode(sample, data.context, stage))

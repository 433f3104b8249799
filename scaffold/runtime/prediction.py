"""Predictions for rows of any number, in their order, with the hooks that the model was trained with."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch

from scaffold.runtime.batch import Batch, distinct_rows, forward_names, kept_features
from scaffold.runtime.sampler import BatchPlan
from scaffold.runtime.samples import BadRow, Sample
from scaffold.runtime.training.trial import evaluating

CHUNK = 1024
log = logging.getLogger(__name__)


def predict(
    model: Any, samples: Iterable[Sample], batch_size: int | None = 64, max_tokens: int | None = 8192
) -> Iterator[tuple[Sample, Any]]:
    """Yield each sample with its prediction, in order; a row that cannot be encoded comes with its BadRow.

    Rows of like length share a batch within chunks of 1,024, so that memory stays constant.
    """
    stream, cut = iter(samples), 0
    while chunk := list(islice(stream, CHUNK)):
        found, shortened = _predict_chunk(model, chunk, batch_size, max_tokens)
        cut += shortened
        yield from zip(chunk, found, strict=True)
    if cut:
        log.warning("%d row%s cut to task.max_length tokens", cut, "s were" if cut > 1 else " was")


def _predict_chunk(
    model: Any, samples: Sequence[Sample], batch_size: int | None, max_tokens: int | None
) -> tuple[list[Any], int]:
    """Return the prediction of each sample, and how many samples were cut."""
    found: list[Any] = [BadRow("expected something to predict, got a row without features")] * len(samples)
    features, owners, cut = [], [], 0
    for row, sample in enumerate(samples):
        try:
            encoded = model.encode(sample, model.context, "predict")
        except BadRow as problem:
            found[row] = problem
            continue
        cut += any(feature.get("truncated") for feature in encoded)
        features.extend(encoded)
        owners.extend([row] * len(encoded))
    if not features:
        return found, cut
    groups = np.asarray(owners)
    lengths = [model.length(feature) for feature in features]
    plan = BatchPlan(lengths, batch_size=batch_size, max_tokens=max_tokens, groups=groups)
    with evaluating(model), torch.inference_mode():
        for key in plan:
            _predict_batch(model, samples, [features[index] for index in key.indices], groups[key.indices], found)
    return found, cut


def _predict_batch(
    model: Any, samples: Sequence[Sample], features: list[Any], owners: np.ndarray, found: list[Any]
) -> None:
    for feature in features:
        feature.pop("truncated", None)
    tensors = model.collate(features, model.context, "predict", np.random.default_rng(0))
    rows, places = distinct_rows(owners)
    kept = kept_features(model, features)
    batch = Batch(tensors, [samples[row] for row in rows], places, features=kept).to(model.device)
    if "samples" in forward_names(type(model)):
        batch["samples"] = batch.samples
    pairs = list(model.batch_predict(**batch.with_samples()))
    for row, (_, prediction) in zip(rows, pairs, strict=True):
        found[row] = prediction

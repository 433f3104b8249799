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
from scaffold.runtime.task import Features
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
    while taken := list(islice(stream, CHUNK)):
        chunk = _Chunk(model, taken)
        chunk.predict(batch_size, max_tokens)
        cut += chunk.cut
        yield from zip(taken, chunk.found, strict=True)
    if cut:
        log.warning("%d row%s cut to task.max_length tokens", cut, "s were" if cut > 1 else " was")


class _Chunk:
    """Samples that are predicted together; `found` is the prediction of each, or why there is none."""

    def __init__(self, model: Any, samples: Sequence[Sample]) -> None:
        self.model, self.samples = model, samples
        nothing = BadRow("expected something to predict, got a row without features")
        self.found: list[Any] = [nothing] * len(samples)
        self.features: list[Features] = []
        self.owners: list[int] = []
        self.cut = 0
        for row in range(len(samples)):
            self._encode(row)

    def predict(self, batch_size: int | None, max_tokens: int | None) -> None:
        """Predict every row that has features."""
        if not self.features:
            return
        lengths, owners = [self.model.length(feature) for feature in self.features], np.asarray(self.owners)
        plan = BatchPlan(lengths, batch_size=batch_size, max_tokens=max_tokens, groups=owners)
        with evaluating(self.model), torch.inference_mode():
            for key in plan:
                self._predict_batch([self.features[index] for index in key.indices], owners[key.indices])

    def _encode(self, row: int) -> None:
        try:
            encoded = self.model.encode(self.samples[row], self.model.context, "predict")
        except BadRow as problem:
            self.found[row] = problem
            return
        truncated = [feature.pop("truncated", False) for feature in encoded]
        self.cut += any(truncated)
        self.features.extend(encoded)
        self.owners.extend([row] * len(encoded))

    def _predict_batch(self, features: list[Features], owners: np.ndarray) -> None:
        model = self.model
        tensors = model.collate(features, model.context, "predict", np.random.default_rng(0))
        rows, places = distinct_rows(owners)
        kept = kept_features(model, features)
        batch = Batch(tensors, [self.samples[row] for row in rows], places, features=kept).to(model.device)
        if "samples" in forward_names(type(model)):
            batch["samples"] = batch.samples
        for row, (_, prediction) in zip(rows, model.batch_predict(**batch.with_samples()), strict=True):
            self.found[row] = prediction

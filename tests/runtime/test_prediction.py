from __future__ import annotations

import numpy as np
import pytest
import torch

from scaffold.runtime import predict
from scaffold.runtime.prediction import CHUNK
from scaffold.runtime.samples import BadRow
from scaffold.runtime.task import Prediction

WORDS = ["fine", "dull", "slow", "work", "we", "like", "it"]


def samples(model, count, bad=()):
    """Rows of 1 to 14 words in a mixed order; those at the places in `bad` cannot be encoded."""
    lengths = np.random.default_rng(13).integers(1, 15, size=count)
    texts = [" ".join(WORDS[(row + place) % 7] for place in range(n)) for row, n in enumerate(lengths)]
    return [model.sample_type(text="bad" if row in bad else text) for row, text in enumerate(texts)]


@pytest.mark.parametrize("limits", [{}, {"batch_size": 2}, {"batch_size": None, "max_tokens": 24}])
def test_predictions_come_in_the_order_of_the_rows_whatever_the_batches(made, limits):
    model, _ = made()
    rows = samples(model.eval(), 40)
    found = list(predict(model, rows, **limits))
    assert [sample for sample, _ in found] == rows
    assert all(sample is row for (sample, _), row in zip(found, rows, strict=True))
    assert [prediction.value for _, prediction in found] == [alone(model, row) for row in rows]


def alone(model, sample):
    """The prediction of one row, from its windows only."""
    features = model.encode(sample, model.context, "predict")
    batch = model.collate(features, model.context, "predict", np.random.default_rng(0))
    with torch.no_grad():
        return model.vocabulary.element("labels", model(**batch).logits.softmax(-1).sum(0).argmax().item())


def test_every_window_of_a_row_counts_for_its_row(made):
    model, _ = made()
    rows = samples(model.eval(), 20)
    counts = [prediction.candidates for _, prediction in predict(model, rows)]
    assert counts == [[-(-len(row.text.split()) // 3)] for row in rows]


def test_a_bad_row_keeps_its_place_and_the_others_their_predictions(made):
    model, _ = made()
    rows = samples(model.eval(), 21, bad={0, 10, 20})
    found = [prediction for _, prediction in predict(model, rows)]
    assert [place for place, one in enumerate(found) if isinstance(one, BadRow)] == [0, 10, 20]
    assert str(found[10]) == "expected good words, got 'bad'"
    good = [row for place, row in enumerate(rows) if place not in {0, 10, 20}]
    assert [one for one in found if isinstance(one, Prediction)] == [one for _, one in predict(model, good)]


def test_only_bad_rows_and_no_rows_at_all(made):
    model, _ = made()
    assert all(isinstance(found, BadRow) for _, found in predict(model.eval(), samples(model, 3, bad={0, 1, 2})))
    assert list(predict(model, [])) == []


def test_rows_are_read_a_chunk_at_a_time(made):
    model, _ = made()
    taken = []

    def stream():
        for row in samples(model, CHUNK + 10):
            taken.append(row)
            yield row

    first, _ = next(predict(model.eval(), stream()))
    assert first is taken[0]
    assert len(taken) == CHUNK


def test_prediction_leaves_no_gradient(made):
    model, _ = made()
    list(predict(model.eval(), samples(model, 3)))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_in_training_mode_predicts_without_dropout_and_stays_in_it(made):
    model, _ = made()
    model.train()
    rows = samples(model, 8)
    assert [found.score for _, found in predict(model, rows)] == [found.score for _, found in predict(model, rows)]
    assert model.training

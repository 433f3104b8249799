from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from scaffold.runtime.batch import Batch, forward_names
from scaffold.runtime.samples import Sample


def batch(**changes):
    facts = {"samples": [Sample(extra={"id": 1}), Sample(extra={"id": 2})], "owners": np.array([0, 0, 1])}
    return Batch({"input_ids": torch.arange(6).reshape(3, 2)}, rows=np.array([7, 4]), **{**facts, **changes})


def test_a_batch_is_exactly_the_arguments_of_forward():
    assert (lambda input_ids: input_ids.shape)(**batch()) == (3, 2)


@pytest.mark.parametrize("copied", [lambda one: pickle.loads(pickle.dumps(one)), lambda one: one.to("cpu")])
def test_a_batch_keeps_its_rows_on_the_way_to_the_model(copied):
    one = batch()
    two = copied(one)
    assert type(two) is Batch
    assert torch.equal(two["input_ids"], one["input_ids"])
    assert two.samples == one.samples
    assert two.owners.tolist() == [0, 0, 1]
    assert two.rows.tolist() == [7, 4]


def test_moving_a_batch_moves_nested_tensors_and_leaves_the_rest():
    one = Batch({"query": {"input_ids": torch.ones(1)}, "samples": ["a"], "scale": 2.0})
    two = one.to("meta")
    assert two["query"]["input_ids"].device.type == "meta"
    assert two["samples"] is one["samples"]
    assert two["scale"] == 2.0


def test_batch_predict_gets_the_samples_and_the_owners_where_they_differ():
    assert batch().with_samples().keys() == {"input_ids", "samples", "owners"}
    assert batch(owners=None).with_samples().keys() == {"input_ids", "samples"}


def test_the_names_of_forward_are_those_of_its_parameters():
    class Model:
        def forward(self, input_ids, *, samples=None): ...

    assert forward_names(Model) == {"self", "input_ids", "samples"}


def test_the_first_rows_of_a_split_are_taken_out_of_a_batch_with_their_samples():
    rows = [Sample(extra={"n": n}) for n in (5, 0, 2)]
    batch = Batch({"input_ids": torch.arange(6).view(3, 2)}, rows, rows=np.array([5, 0, 2]))
    part = batch.first(3)
    assert part["input_ids"].tolist() == [[2, 3], [4, 5]]
    assert [sample.extra["n"] for sample in part.samples] == [0, 2] == part.rows.tolist()
    assert batch.first(6) is batch is batch.first(None)
    assert batch.first(0).samples == []

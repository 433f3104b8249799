from __future__ import annotations

import json

import pytest
import torch

from scaffold.runtime.training.averages import Averages


def test_an_average_weights_each_batch_by_its_items():
    averages = Averages()
    averages.add(3, {"loss": torch.tensor(3 * 0.5), "accuracy": torch.tensor(2)})
    averages.add(torch.tensor(1), {"loss": torch.tensor(4.5), "accuracy": torch.tensor(1)})
    assert averages.compute() == pytest.approx({"loss": (3 * 0.5 + 4.5) / 4, "accuracy": 3 / 4})


def test_nothing_added_gives_no_average():
    assert Averages().compute() == {}


def test_reading_does_not_reset_and_a_reset_forgets():
    averages = Averages()
    averages.add(1, {"loss": torch.tensor(2.0)})
    assert averages.compute() == averages.compute() == {"loss": 2.0}
    averages.reset()
    assert averages.compute() == {}


def test_the_sums_of_other_processes_are_added():
    averages = Averages()
    averages.add(2, {"loss": torch.tensor(2.0)})
    elsewhere = torch.tensor([6.0, 22.0], dtype=torch.float64)
    assert averages.compute(lambda sums: sums + elsewhere) == {"loss": 24 / 8}


def test_averages_go_on_from_their_state_exactly():
    whole, first = Averages(), Averages()
    batches = [(n, {"loss": torch.tensor(0.1 * n)}) for n in (7, 3, 5)]
    for batch in batches:
        whole.add(*batch)
    first.add(*batches[0])
    second = Averages()
    second.restore(json.loads(json.dumps(first.state())))
    for batch in batches[1:]:
        second.add(*batch)
    assert second.compute() == whole.compute()


def test_a_million_small_values_lose_no_precision():
    averages = Averages()
    averages.add(1, {"loss": torch.tensor(2.0**24)})
    for _ in range(4):
        averages.add(0, {"loss": torch.tensor(1.0)})
    assert averages.compute() == {"loss": 2.0**24 + 4}


def test_averages_hold_no_graph():
    loss = torch.tensor(1.0, requires_grad=True) * 2
    averages = Averages()
    averages.add(1, {"loss": loss})
    assert not getattr(averages.sums["loss"], "requires_grad", False)

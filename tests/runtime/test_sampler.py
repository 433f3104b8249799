"""The plan of batches: every feature once, within the budget, the same in every process, and resumable anywhere."""

from __future__ import annotations

import pickle
import time
from itertools import pairwise

import numpy as np
import pytest
from torch.utils.data import DataLoader

from scaffold.errors import ConfigError
from scaffold.runtime.sampler import BatchPlan, shuffled

LIMITS = [{"batch_size": 7}, {"max_tokens": 64}, {"batch_size": 5, "max_tokens": 100}, {"batch_size": 1}]


def some_lengths(seed, most=300):
    draw = np.random.default_rng(seed)
    longest = int(draw.choice([1, 12, 90]))
    return draw.integers(1, longest + 1, int(draw.integers(1, most)))


def batches(plan, epoch=0):
    plan.set_epoch(epoch)
    return [key.indices.tolist() for key in plan]


def over_ranks(lengths, world_size, epoch=0, **options):
    plans = [BatchPlan(lengths, rank=rank, world_size=world_size, **options) for rank in range(world_size)]
    assert all(len(plan) == len(batches(plan, epoch)) for plan in plans)
    return [batches(plan, epoch) for plan in plans]


def flat(several):
    return [index for batch in several for index in batch]


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_every_feature_comes_once_and_ranks_have_equally_many_batches(limits, shuffle, world_size):
    for seed in range(12):
        lengths = some_lengths(seed)
        if len(lengths) < world_size:
            continue
        ranks = over_ranks(lengths, world_size, shuffle=shuffle, seed=seed, **limits)
        assert sorted(flat(flat(ranks))) == list(range(len(lengths)))
        assert len({len(rank) for rank in ranks}) == 1


@pytest.mark.parametrize("limits", LIMITS[:3])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 3])
def test_a_batch_stays_within_its_limits(limits, shuffle, world_size):
    for seed in range(20):
        lengths = some_lengths(seed)
        if len(lengths) < 50:
            continue
        for batch in flat(over_ranks(lengths, world_size, shuffle=shuffle, seed=seed, **limits)):
            padded = len(batch) * lengths[batch].max()
            assert 1 <= len(batch) <= limits.get("batch_size", len(lengths))
            assert len(batch) == 1 or padded <= limits.get("max_tokens", padded)


def test_a_feature_above_the_budget_is_alone():
    lengths = np.array([500, 3, 3, 400, 3])
    for shuffle in (True, False):
        found = sorted(map(sorted, batches(BatchPlan(lengths, max_tokens=100, shuffle=shuffle))))
        assert found == [[0], [1, 2, 4], [3]]


@pytest.mark.parametrize("limits", LIMITS)
def test_the_number_of_batches_is_the_same_in_every_epoch(limits):
    for seed in range(20):
        plan = BatchPlan(some_lengths(seed), shuffle=True, seed=seed, **limits)
        assert {len(batches(plan, epoch)) for epoch in range(5)} == {len(plan)}


def test_the_order_follows_from_seed_and_epoch_alone():
    lengths = some_lengths(1)

    def order(seed, epoch):
        return batches(BatchPlan(lengths, max_tokens=64, shuffle=True, seed=seed), epoch)

    assert order(5, 3) == order(5, 3)
    plan = BatchPlan(lengths, max_tokens=64, shuffle=True, seed=5)
    assert [batches(plan, epoch) for epoch in (0, 3)][1] == order(5, 3)
    assert order(5, 3) != order(5, 4)
    assert order(5, 3) != order(6, 3)
    assert order(5, 6) != order(6, 5)


@pytest.mark.parametrize("world_size", [1, 2])
def test_skipping_goes_on_exactly_where_it_stopped(world_size):
    for seed in range(10):
        plan = BatchPlan(
            some_lengths(seed), max_tokens=64, shuffle=True, seed=seed, rank=world_size - 1, world_size=world_size
        )
        plan.set_epoch(2)
        whole = [(key.epoch, key.number, key.indices.tolist()) for key in plan]
        for done in range(len(whole) + 1):
            plan.start_at(2, done)
            assert [(key.epoch, key.number, key.indices.tolist()) for key in plan] == whole[done:]
        plan.set_epoch(3)
        assert len(list(plan)) == len(plan) == len(whole)


def test_what_is_set_after_an_iteration_began_does_not_touch_it():
    plan = BatchPlan(some_lengths(3), batch_size=4, shuffle=True)
    whole = batches(plan, 1)
    running = iter(plan)
    plan.start_at(2, 3)
    assert [key.indices.tolist() for key in running] == whole


def test_evaluation_goes_from_long_to_short():
    lengths = some_lengths(4)
    for limits in LIMITS:
        found = [lengths[batch].max() for batch in batches(BatchPlan(lengths, **limits))]
        assert all(earlier >= later for earlier, later in pairwise(found))


def test_neighbouring_batches_go_to_the_ranks_at_the_same_step():
    lengths = np.repeat(np.arange(1, 101), 40)
    for step in zip(*over_ranks(lengths, 4, batch_size=10, shuffle=True), strict=True):
        longest = [lengths[batch].max() for batch in step]
        assert max(longest) - min(longest) <= 0.2 * max(longest) + 2


def test_little_of_a_batch_is_padding():
    draw = np.random.default_rng(8)
    lengths = np.minimum(draw.geometric(0.05, 20_000) + 2, 200)
    found = batches(BatchPlan(lengths, max_tokens=2048, shuffle=True))
    padded = sum(len(batch) * lengths[batch].max() for batch in found)
    assert lengths.sum() / padded > 0.93
    assert len(found) < 1.1 * lengths.sum() / 2048


def test_a_batch_size_gives_the_usual_number_of_batches():
    for seed in range(10):
        lengths = some_lengths(seed)
        assert len(BatchPlan(lengths, batch_size=32, shuffle=True)) == -(-len(lengths) // 32)


def test_rows_meet_different_rows_in_different_epochs():
    lengths = np.random.default_rng(0).integers(4, 30, 300)
    plan = BatchPlan(lengths, batch_size=32, max_tokens=2048, shuffle=True)
    first, second = ([frozenset(batch) for batch in batches(plan, epoch)] for epoch in (0, 1))
    assert not set(first) & set(second)


def test_batches_are_shuffled_among_each_other():
    lengths = np.sort(np.random.default_rng(0).integers(4, 100, 2000))
    longest = [lengths[batch].max() for batch in batches(BatchPlan(lengths, batch_size=20, shuffle=True))]
    assert 20 < sum(earlier > later for earlier, later in pairwise(longest)) < 80


# groups: the windows of a row


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("limits", LIMITS[:3])
@pytest.mark.parametrize("world_size", [1, 3])
def test_what_shares_a_group_shares_a_batch(shuffle, limits, world_size):
    draw = np.random.default_rng(6)
    for seed in range(10):
        lengths = some_lengths(seed)
        owners = np.sort(draw.integers(0, max(4, len(lengths) // 3), len(lengths)))
        if len(np.unique(owners)) < world_size:
            continue
        found = flat(over_ranks(lengths, world_size, shuffle=shuffle, groups=owners, **limits))
        assert sorted(flat(found)) == list(range(len(lengths)))
        homes = [set(owners[batch].tolist()) for batch in found]
        assert sum(map(len, homes)) == len(np.unique(owners))
        over = [
            home
            for batch, home in zip(found, homes, strict=True)
            if len(batch) > limits.get("batch_size", len(batch))
            or len(batch) * lengths[batch].max() > limits.get("max_tokens", 10**9)
        ]
        # single rows that do not divide among the ranks are joined
        joined = world_size > 1 and max(map(len, homes)) == 2
        assert sum(len(home) > 1 for home in over) <= (world_size - 1 if joined else 0)


def test_groups_have_the_same_number_of_batches_in_every_epoch():
    owners = np.repeat(np.arange(40), np.random.default_rng(1).integers(1, 5, 40))
    plan = BatchPlan(np.full(len(owners), 9), max_tokens=64, shuffle=True, groups=owners)
    assert {len(batches(plan, epoch)) for epoch in range(6)} == {len(plan)}


def test_the_windows_of_a_row_stay_in_order():
    owners = np.array([3, 1, 3, 1, 2])
    (batch,) = batches(BatchPlan([5, 5, 5, 5, 5], batch_size=10, groups=owners))
    assert [index for index in batch if owners[index] == 3] == [0, 2]
    assert [index for index in batch if owners[index] == 1] == [1, 3]


# corners


def test_fewer_features_than_ranks_repeat_in_training_only():
    assert [flat(rank) for rank in over_ranks([4, 4], 3, batch_size=8, shuffle=True)] != [[], [], []]
    assert {len(rank) for rank in over_ranks([4, 4], 3, batch_size=8, shuffle=True)} == {1}
    evaluation = over_ranks([4, 4], 3, batch_size=8)
    assert sorted(flat(flat(evaluation))) == [0, 1]


def test_single_features_that_do_not_divide_are_joined_from_the_shortest():
    found = flat(over_ranks([9, 8, 7, 2, 1], 2, batch_size=1))
    assert sorted(map(sorted, found)) == [[0], [1], [2], [3, 4]]


@pytest.mark.parametrize("shuffle", [True, False])
def test_no_features_give_no_batches(shuffle):
    plan = BatchPlan([], batch_size=4, shuffle=shuffle, world_size=2)
    assert (len(plan), list(plan)) == (0, [])
    assert list(BatchPlan([], batch_size=4, groups=[])) == []


def test_an_empty_text_counts_as_one_token():
    assert len(flat(batches(BatchPlan([0, 0, 0], max_tokens=2)))) == 3


@pytest.mark.parametrize("limits", [{}, {"batch_size": 0}, {"max_tokens": -1}, {"batch_size": 0, "max_tokens": 5}])
def test_a_plan_without_a_limit_is_a_configuration_error(limits):
    with pytest.raises(ConfigError, match="The size of a batch is not set") as caught:
        BatchPlan([1, 2], **limits)
    assert caught.value.where.key == "data.batch_size"


def test_a_plan_can_be_sent_to_another_process():
    plan = BatchPlan(some_lengths(2), max_tokens=64, shuffle=True, groups=None)
    assert batches(pickle.loads(pickle.dumps(plan)), 2) == batches(plan, 2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_takes_its_batches_from_the_plan(workers):
    lengths = some_lengths(5)
    plan = BatchPlan(lengths, max_tokens=64, shuffle=True)

    class Echo:
        def __getitem__(self, key):
            return key.number, key.indices.tolist()

        def __len__(self):
            return len(lengths)

    loader = DataLoader(Echo(), sampler=plan, batch_size=None, num_workers=workers, collate_fn=tuple)
    assert len(loader) == len(plan)
    assert list(loader) == list(enumerate(batches(plan)))


def test_a_shuffle_is_the_same_everywhere_and_forever():
    assert shuffled(10, 7, 3).tolist() == [2, 4, 7, 3, 5, 1, 8, 9, 0, 6]
    assert sorted(shuffled(1000, 1).tolist()) == list(range(1000))


def test_a_shuffle_within_buckets_keeps_the_buckets_in_order():
    buckets = np.array([2, 0, 1, 0, 2, 1])
    assert buckets[shuffled(6, 1, within=buckets)].tolist() == [0, 0, 1, 1, 2, 2]


def test_a_hundred_thousand_features_are_planned_quickly():
    lengths = np.random.default_rng(0).integers(4, 100, 100_000)
    start = time.perf_counter()
    count = sum(1 for _ in BatchPlan(lengths, max_tokens=2048, shuffle=True))
    assert count > 1000
    assert time.perf_counter() - start < 2

"""Features: what goes into the store comes out again, from memory or from a file."""

from __future__ import annotations

import errno
import pickle
import random
import tempfile

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from scaffold.errors import EnvironmentFault
from scaffold.runtime.features import FeatureStore, pad


def store_of(*features, **options):
    return FeatureStore(((row, [item]) for row, item in enumerate(features)), **options)


def test_numbers_and_lists_come_back():
    store = store_of({"input_ids": [5, 6, 7], "label": 2, "score": 0.5}, {"input_ids": [8], "label": 0, "score": 1})
    assert len(store) == 2
    assert store.names == ("input_ids", "label", "score")
    assert store[0]["input_ids"].tolist() == [5, 6, 7]
    assert store[0]["input_ids"].dtype == np.int64
    assert (store[1]["label"], store[1]["score"]) == (0, 1.0)
    assert store[-1]["input_ids"].tolist() == [8]


def test_a_row_may_become_several_features_or_none():
    store = FeatureStore([(0, [{"x": [1]}, {"x": [2, 3]}]), (1, []), (7, [{"x": [4]}])])
    assert store.owners.tolist() == [0, 0, 7]
    assert store.lengths.tolist() == [1, 2, 1]


def test_the_length_is_that_of_the_longest_list():
    store = store_of(
        {"a": [1, 2], "b": [1, 2, 3], "image": np.zeros((9, 9)), "n": 4},
        {"a": [], "b": [], "image": np.zeros((9, 9)), "n": 4},
    )
    assert store.lengths.tolist() == [3, 1]
    assert store.lengths.dtype == np.int32


def test_features_without_lists_have_length_one():
    assert store_of({"label": 3}).lengths.tolist() == [1]


def test_a_slice_and_a_selection_are_lists_of_features():
    store = store_of(*[{"x": [i]} for i in range(5)])
    assert [item["x"].tolist() for item in store[1:4:2]] == [[1], [3]]
    assert [item["x"].tolist() for item in store.take(np.array([4, 0]))] == [[4], [0]]
    with pytest.raises(IndexError, match="Expected an index below 5, got 5"):
        store[5]


def test_an_empty_store_has_no_features():
    store = FeatureStore([])
    assert (len(store), store.lengths.tolist(), store.owners.tolist(), store[:]) == (0, [], [], [])


@pytest.mark.parametrize("spool_above", [0, 1000, 1 << 30])
def test_random_numbers_of_every_width_come_back_from_memory_and_file(spool_above):
    draw = random.Random(7)
    rows = [
        {
            "small": [draw.randint(-100, 100) for _ in range(draw.randint(0, 9))],
            "large": [draw.choice([0, 200, 70_000, -(2**40)]) for _ in range(draw.randint(0, 9))],
            "mixed": [draw.choice([1, 0.25]) for _ in range(draw.randint(0, 9))],
            "number": draw.choice([3, 300, 2**62]),
        }
        for _ in range(3000)
    ]
    store = store_of(*rows, spool_above=spool_above)
    for row, item in zip(rows, store, strict=True):
        assert {name: value if isinstance(value, int) else value.tolist() for name, value in item.items()} == row


def test_small_numbers_take_little_room():
    store = store_of(*[{"mask": [1] * 100, "ids": [30_000] * 100} for _ in range(1000)])
    assert store.nbytes == 1000 * 100 * (1 + 2)


def test_arrays_keep_their_shape_and_bytes_their_type():
    image = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    store = store_of(
        {"image": image, "wave": np.array([0.5, 2]), "mask": np.array([True, False]), "ids": torch.tensor([3])}
    )
    item = store[0]
    assert item["image"].dtype == np.uint8
    assert np.array_equal(item["image"], image)
    assert (item["wave"].dtype, item["wave"].tolist()) == (np.float32, [0.5, 2])
    assert (item["mask"].dtype, item["mask"].tolist()) == (np.bool_, [True, False])
    assert (item["ids"].dtype, item["ids"].tolist()) == (np.int64, [3])


def test_a_column_takes_wider_numbers_when_they_come():
    arrays = [np.array([1], np.bool_), np.array([200], np.uint8), np.array([-5]), np.array([0.5])]
    for count in range(1, 5):
        store = store_of(*[{"x": value} for value in arrays[:count]])
        assert [item["x"].tolist() for item in store] == [value.tolist() for value in arrays[:count]]


def test_what_a_task_writes_into_a_feature_stays_out_of_the_store():
    store = store_of({"x": [1, 2], "b": np.array([1], np.uint8)})
    store[0]["x"][:] = 9
    store[0]["b"][:] = 9
    assert (store[0]["x"].tolist(), store[0]["b"].tolist()) == ([1, 2], [1])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"x": [1]}, "Expected the features x, y of every row, got x."),
        ({"x": [1], "y": "a"}, "Expected numbers of at most 64 bits in 'y', got 'a'."),
        ({"x": [1], "y": None}, "Expected numbers of at most 64 bits in 'y', got None."),
        ({"x": ["a"], "y": 1}, r"Expected numbers of at most 64 bits in 'x', got \['a'\]."),
        ({"x": [2**70], "y": 1}, "Expected numbers of at most 64 bits in 'x'"),
        ({"x": np.ones((2, 2)), "y": 1}, r"Expected 'x' of shape \(any\), got \(2, 2\)."),
        ({"x": 3, "y": 1}, r"Expected 'x' of shape \(any\), got \(\)."),
        ({"x": [1], "y": [1]}, "Expected numbers of at most 64 bits in 'y', got"),
    ],
)
def test_features_that_do_not_fit_the_first_are_refused(second, message):
    with pytest.raises(ValueError, match=message):
        store_of({"x": [1], "y": 1}, second)


@pytest.mark.parametrize("value", ["text", None, ["a"]])
def test_a_first_feature_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="Expected numbers of at most 64 bits in 'x'"):
        store_of({"x": value})


@pytest.mark.parametrize("spool_above", [0, 1 << 30])
def test_a_store_can_be_sent_to_another_process(spool_above):
    store = store_of(*[{"x": list(range(i)), "y": i} for i in range(50)], spool_above=spool_above)
    again = pickle.loads(pickle.dumps(store))
    assert all(np.array_equal(a["x"], b["x"]) and a["y"] == b["y"] for a, b in zip(store, again, strict=True))


def test_workers_of_a_loader_read_a_store_in_a_file():
    store = store_of(*[{"x": [i] * 5} for i in range(40)], spool_above=0)
    loader = DataLoader(
        store, batch_size=10, num_workers=2, collate_fn=lambda items: [item["x"].sum() for item in items]
    )
    assert [total for batch in loader for total in batch] == [5 * i for i in range(40)]


def test_a_full_disk_is_an_environment_fault(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(EnvironmentFault, match="do not fit into the folder for temporary files") as caught:
        store_of({"x": [1, 2, 3]}, spool_above=0)
    assert "No space left" in caught.value.because


# padding


def test_padding_fills_up_on_the_right():
    padded = pad([[1, 2, 3], [4], []], 0, torch.long)
    assert padded.tolist() == [[1, 2, 3], [4, 0, 0], [0, 0, 0]]
    assert padded.dtype == torch.long


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.bool, torch.int32, torch.uint8])
def test_padding_has_the_type_that_is_asked_for(dtype):
    padded = pad([np.array([1, 0]), np.array([1])], 0, dtype)
    assert padded.dtype == dtype
    assert padded.float().tolist() == [[1, 0], [1, 0]]


def test_padding_keeps_further_dimensions():
    assert pad([np.ones((2, 3)), np.ones((1, 3))], -1, torch.float32)[1].tolist() == [[1, 1, 1], [-1, -1, -1]]
    assert pad([np.ones((0, 3)), np.ones((2, 3))], -1, torch.float32).shape == (2, 2, 3)


def test_no_sequences_give_an_empty_tensor():
    assert pad([], 0, torch.long).shape == (0, 0)
    assert pad([[], []], 0, torch.long).shape == (2, 0)


def test_padding_agrees_with_torch():
    draw = np.random.default_rng(1)
    for _ in range(20):
        arrays = [draw.integers(0, 99, draw.integers(0, 30)) for _ in range(draw.integers(1, 20))]
        expected = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(a) for a in arrays], True, padding_value=-100)
        assert torch.equal(pad(arrays, -100, torch.long), expected)

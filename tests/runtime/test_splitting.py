"""How one file is divided into splits."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime.reading.formats import Schema
from scaffold.runtime.reading.rows import read_rows
from scaffold.runtime.reading.splitting import Strata, split_rows
from scaffold.runtime.samples import Sample

TENTHS = {"train": 0.8, "validation": 0.1, "test": 0.1}


@dataclass
class Text(Sample):
    text: str


def rows_of(tmp_path, count):
    path = tmp_path / "rows.tsv"
    path.write_text("".join(f"{i}\n" for i in range(count)))
    return read_rows([path], Schema(Text))


def labels_of(tmp_path, labels, seed=0, **fractions):
    """Return the labels in each split of rows that have these."""
    parts = split_rows(rows_of(tmp_path, len(labels)), fractions or TENTHS, seed, Strata(labels))
    return {name: [labels[int(row.text)] for row in part] for name, part in parts.items()}


def test_every_row_is_in_one_split_and_the_sizes_are_as_asked(tmp_path):
    draw = random.Random(4)
    for _ in range(30):
        count = draw.randint(3, 300)
        parts = split_rows(rows_of(tmp_path, count), TENTHS, draw.randint(0, 9))
        numbers = [[int(row.text) for row in part] for part in parts.values()]
        assert sorted(number for part in numbers for number in part) == list(range(count))
        assert all(part == sorted(part) for part in numbers)
        for part, fraction in zip(numbers, (0.8, 0.1, 0.1), strict=True):
            assert len(part) >= 1
            assert abs(len(part) - count * fraction) <= 2


def test_the_same_seed_divides_alike_and_another_does_not(tmp_path):
    rows = rows_of(tmp_path, 100)
    fractions = {"train": 0.5, "test": 0.5}
    texts = [[row.text for row in split_rows(rows, fractions, seed)["test"]] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_too_few_rows_to_divide_is_an_error(tmp_path):
    with pytest.raises(DataError, match="too few rows to divide") as caught:
        split_rows(rows_of(tmp_path, 2), TENTHS)
    assert caught.value.because == "expected at least one row for each of train, validation, test, got 2"


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 1.0, "test": 0.0}])
def test_fractions_that_do_not_add_up_are_a_configuration_error(tmp_path, fractions):
    with pytest.raises(ConfigError, match="cannot be divided so"):
        split_rows(rows_of(tmp_path, 5), fractions)


# by label


@pytest.mark.parametrize("seed", range(20))
def test_every_split_gets_its_share_of_every_label(tmp_path, seed):
    labels = random.Random(seed).sample(["a"] * 20 + ["b"] * 30 + ["c"] * 10, 60)
    parts = labels_of(tmp_path, labels, seed)
    assert Counter(parts["test"]) == Counter(parts["validation"]) == {"a": 2, "b": 3, "c": 1}


@pytest.mark.parametrize("seed", range(20))
def test_rare_labels_are_divided_in_whole_rows_and_training_has_each(tmp_path, seed):
    draw = random.Random(seed)
    counts = {str(label): draw.choice([1, 1, 2, 3, 5, 9, 17, 40, 131]) for label in range(40)}
    labels = [label for label, count in counts.items() for _ in range(count)]
    draw.shuffle(labels)
    parts = labels_of(tmp_path, labels, seed)
    assert set(parts["train"]) == set(labels)
    for name in ("validation", "test"):
        assert abs(len(parts[name]) - len(labels) / 10) < 1
        found = Counter(parts[name])
        assert all(abs(found[label] - count / 10) < 1.5 for label, count in counts.items())


def test_rows_that_all_have_a_label_of_their_own_are_divided_like_rows_without(tmp_path):
    rows = rows_of(tmp_path, 50)
    plain, by_label = split_rows(rows, TENTHS, 3), split_rows(rows, TENTHS, 3, Strata(range(50)))
    assert [[row.text for row in part] for part in by_label.values()] == [
        [row.text for row in part] for part in plain.values()
    ]


def test_a_division_by_label_follows_from_the_seed(tmp_path):
    labels = ["a", "b", "c", "a"] * 25
    assert labels_of(tmp_path, labels, 1) == labels_of(tmp_path, labels, 1)
    rows, strata = rows_of(tmp_path, 100), Strata(labels)
    texts = [[row.text for row in split_rows(rows, TENTHS, seed, strata)["test"]] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_labels_that_a_split_has_no_row_of_are_known(tmp_path):
    strata = Strata(["a"] * 20 + ["b", "c"])
    parts = split_rows(rows_of(tmp_path, 22), TENTHS, strata=strata)
    assert (strata.absent(parts["train"]), strata.absent(parts["test"])) == ([], ["b", "c"])

"""Which files make a split, and how one file is divided."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime.reading.readers import Schema, find_splits, read_rows, split_rows
from scaffold.runtime.samples import Sample


@dataclass
class Text(Sample):
    text: str


@pytest.fixture
def folder(tmp_path):
    """Return what makes a folder of empty files and gives the names that are found in it."""

    def make(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = find_splits(tmp_path)
        return {split: [str(file.relative_to(tmp_path)) for file in files] for split, files in found.items()}

    return make


def test_a_folder_has_a_file_for_each_split(folder):
    assert folder("test.tsv", "train.tsv", "validation.tsv", "README.md", "queries.train.tsv") == {
        "train": ["train.tsv"],
        "validation": ["validation.tsv"],
        "test": ["test.tsv"],
    }


def test_files_of_a_split_are_put_in_the_order_of_their_numbers(folder):
    assert folder("train.10.csv", "train.9.csv", "train.1.csv")["train"] == [
        "train.1.csv",
        "train.9.csv",
        "train.10.csv",
    ]


def test_a_split_may_be_a_folder_or_numbered_as_data_hubs_do(folder):
    found = folder(
        "train/a.jsonl", "train/b.jsonl", "train/notes.md", "test-00000-of-00002.csv", "test-00001-of-00002.csv"
    )
    assert found == {
        "train": ["train/a.jsonl", "train/b.jsonl"],
        "test": ["test-00000-of-00002.csv", "test-00001-of-00002.csv"],
    }


@pytest.mark.parametrize("name", ["val", "valid", "dev"])
def test_usual_names_stand_for_validation(folder, name):
    assert folder(f"{name}.tsv") == {"validation": [f"{name}.tsv"]}


def test_other_files_that_begin_alike_are_not_mixed_in(folder):
    assert folder("train.tsv", "train.relatedness.tsv", "training.tsv") == {"train": ["train.tsv"]}


@pytest.mark.parametrize("names", [("train.tsv", "train.csv"), ("train.tsv", "train/a.tsv"), ("val.tsv", "dev.jsonl")])
def test_a_split_that_is_there_twice_is_refused(folder, names):
    with pytest.raises(DataError, match="split twice"):
        folder(*names)


def test_a_folder_without_splits_says_what_it_holds(folder):
    with pytest.raises(DataError, match="holds no train, validation or test file") as caught:
        folder("train.txt", "b.tsv")
    suffixes = ("tsv", "csv", "jsonl", "conll", "conllu")
    names = ", ".join(f"train.{suffix}" for suffix in suffixes)
    assert caught.value.because == f"expected {names}, got 'b.tsv', 'train.txt'"
    named = "'data.path={train: rows/a.tsv, validation: rows/b.tsv, test: rows/c.tsv}'"
    assert caught.value.fix == f"rename the files, or name them: {named}"


def test_an_empty_split_folder_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="The data folder holds no data file") as caught:
        find_splits(tmp_path)
    assert caught.value.because.endswith("got an empty folder")


def test_a_single_file_is_to_be_divided(tmp_path):
    (tmp_path / "rows.tsv").touch()
    assert find_splits(str(tmp_path / "rows.tsv")) == {"all": [tmp_path / "rows.tsv"]}


def test_data_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(DataError, match="The data does not exist"):
        find_splits(tmp_path / "none")


def test_a_mapping_names_the_files_of_each_split(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "c.tsv").touch()
    found = find_splits({"train": [tmp_path / "a.tsv", str(tmp_path / "more")], "test": "b.tsv", "validation": None})
    assert {split: [file.name for file in files] for split, files in found.items()} == {
        "train": ["a.tsv", "c.tsv"],
        "test": ["b.tsv"],
    }


@pytest.mark.parametrize("paths", [{"trian": "a.tsv"}, {}])
def test_a_mapping_with_an_unknown_split_is_a_configuration_error(paths):
    with pytest.raises(ConfigError, match="names an unknown split"):
        find_splits(paths)


# dividing


def rows_of(tmp_path, count):
    path = tmp_path / "rows.tsv"
    path.write_text("".join(f"{i}\n" for i in range(count)))
    return read_rows([path], Schema(Text))


def test_every_row_is_in_one_split_and_the_sizes_are_as_asked(tmp_path):
    draw = random.Random(4)
    for _ in range(30):
        count = draw.randint(3, 300)
        parts = split_rows(rows_of(tmp_path, count), {"train": 0.8, "validation": 0.1, "test": 0.1}, draw.randint(0, 9))
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
        split_rows(rows_of(tmp_path, 2), {"train": 0.8, "validation": 0.1, "test": 0.1})
    assert caught.value.because == "expected at least one row for each of train, validation, test, got 2"


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": 1.0, "test": 0.0}])
def test_fractions_that_do_not_add_up_are_a_configuration_error(tmp_path, fractions):
    with pytest.raises(ConfigError, match="cannot be divided so"):
        split_rows(rows_of(tmp_path, 5), fractions)

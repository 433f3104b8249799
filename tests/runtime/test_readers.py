"""Which files make a split."""

from __future__ import annotations

import pytest

from scaffold.errors import ConfigError, DataError, UsageError
from scaffold.runtime.reading.readers import find_splits, unread


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


def test_several_kinds_of_file_in_the_folder_of_a_split_are_told_as_that(folder):
    with pytest.raises(DataError, match="The folder of the train split holds several kinds of file") as caught:
        folder("train/a.tsv", "train/b.jsonl")
    assert caught.value.because == "expected one kind of file, got train/a.tsv, train/b.jsonl"
    assert caught.value.fix.endswith("; a split may be a list")


def test_a_folder_without_splits_says_what_it_holds(folder):
    with pytest.raises(DataError, match="holds no train, validation or test file") as caught:
        folder("train.txt", "b.tsv")
    suffixes = ("tsv", "csv", "jsonl", "conll", "conllu")
    names = ", ".join(f"train.{suffix}" for suffix in suffixes)
    assert caught.value.because == f"expected {names}, got 'b.tsv', 'train.txt'"
    named = "'data.path={train: rows/a.tsv, validation: rows/b.tsv, test: rows/c.tsv}'"
    assert caught.value.fix == (
        f"rename the files, or name them: {named}; data.format=conll and the like read any suffix"
    )


def test_what_bears_the_name_of_a_split_and_is_no_file_of_rows_is_known(folder, tmp_path):
    folder("train.tsv.gz", "test.parquet", "TRAIN.TSV", "training.tsv", "dev.tsv/a", "rows.tsv", "validation.tsv")
    assert unread(tmp_path, "train") == ["'TRAIN.TSV'", "'train.tsv.gz'"]
    assert unread(tmp_path, "validation") == ["'dev.tsv/'", "'validation.tsv'"]
    assert unread(tmp_path / "rows.tsv", "train") == unread({"test": "a.tsv"}, "train") == []


def test_an_empty_split_folder_is_refused(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="The data folder holds no data file") as caught:
        find_splits(tmp_path)
    assert caught.value.because.endswith("got an empty folder")


def test_a_single_file_is_to_be_divided(tmp_path):
    (tmp_path / "rows.tsv").touch()
    assert find_splits(str(tmp_path / "rows.tsv")) == {"all": [tmp_path / "rows.tsv"]}


def test_data_that_does_not_exist_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="The data does not exist"):
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

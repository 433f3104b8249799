"""The data of a run: all that is wrong with its rows in one error, and what is said of splits that have no file."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime import Backbone, DataModule, Vocabulary, model_class

SOUND = ["very fine work\tgood", "slow and dull\tpoor"] * 6


def write(split: str, *rows: str) -> None:
    Path(f"data/{split}.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data(config):
    """Return what makes the data of the project, some of whose rows `encode` refuses: those with the word bad."""

    def make(task=None, context=None, **changes):
        settings = config(**changes)
        backbone = Backbone("scratch", hidden_size=16, heads=2, vocabulary_size=300)
        return DataModule(task or model_class(settings), settings, backbone, context)

    return make


def told(call):
    """Return the error of a call, and the places in it."""
    with pytest.raises(DataError) as caught:
        call()
    return caught.value, [line.split(": ")[0].removeprefix("data/") for line in caught.value.details]


def test_rows_that_cannot_be_read_or_encoded_are_told_at_once_in_every_split(data):
    write("train", "a bad row\tgood", *SOUND, "\tgood", "one\tgood\tmore", "also bad\tpoor")
    write("validation", "fine\tgood", "dull\tmediocre")
    write("test", "\t", "so bad\tgood", "fine\tgood")
    error, places = told(lambda: data().context)
    assert error.what == "7 rows of the data cannot be used."
    assert places == [f"train.tsv:{line}" for line in (1, 14, 15, 16)] + [
        "validation.tsv:2",
        "test.tsv:1",
        "test.tsv:2",
    ]
    assert "'mediocre' is not among the 2 labels of training" in error.details[4]
    assert (error.where.line, error.because) == (1, "expected good words, got 'bad'")


@pytest.mark.parametrize("first", ["train", "validation", "test"])
def test_they_are_told_wherever_the_first_is_found(data, first):
    write("train", *SOUND, *["bad row\tgood"] * (first == "train"))
    write("validation", "fine\tgood", *["bad row\tgood"] * (first == "validation"))
    write("test", "fine\tgood", "one\tgood\tmore", "fine\tmediocre")
    _, places = told(lambda: data().setup("fit"))
    assert places[-2:] == ["test.tsv:2", "test.tsv:3"]
    assert len(places) == 2 + (first != "test")


def test_the_first_twenty_of_all_are_told(data):
    write("train", *SOUND, *["bad row\tgood"] * 11)
    write("validation", *["fine\tgood", "\tgood"] * 5)
    write("test", *["so bad\tgood", "\tgood"] * 10)
    error, places = told(lambda: data().setup("fit"))
    assert error.what == "At least 20 rows of the data cannot be used."
    assert places == [
        *(f"train.tsv:{line}" for line in (13, 14, 15)),
        "train.tsv",
        *(f"validation.tsv:{line}" for line in (2, 4, 6)),
        "validation.tsv",
        *(f"test.tsv:{line}" for line in (1, 2, 3, 4)),
    ]
    assert [line for line in error.details if "more" in line] == [
        "data/train.tsv: 8 more like it",
        "data/validation.tsv: 2 more like it",
    ]


def test_rows_that_are_skipped_are_told_on_twenty_lines_with_those_alike_as_one(data, caplog):
    write("train", *SOUND)
    alike = ["bad row\tgood"] * 9
    write("validation", *alike, *(f"fine\tlabel {number}" for number in range(14)), *alike[:4], "fine\tgood")
    found = data(data__on_bad_row="skip")
    found.encoded("validation")
    told = [line for line in caplog.messages if "left out" in line]
    assert told[3] == "validation: left out data/validation.tsv: 10 more like it"
    assert told[4].startswith("validation: left out data/validation.tsv:10: 'label 0' is not among")
    assert len(told) == 3 + 1 + 14
    write("validation", *(f"fine\tlabel {number}" for number in range(18)), *alike, "fine\tgood")
    data(data__on_bad_row="skip").encoded("validation")
    assert caplog.messages[-1] == "validation: left out 7 more"
    assert len(found.left_out["validation"]) == 27


def test_a_row_is_named_by_its_id_too(data):
    write("train", *(f"{row}\tn{number}" for number, row in enumerate(["bad row\tgood", *SOUND, "bad again\tgood"])))
    error, _ = told(lambda: data(data__columns={"id": 2}).setup("fit"))
    assert error.details[1] == "data/train.tsv:14: expected good words, got 'bad' (id 'n13')"


def test_a_label_that_only_dividing_keeps_from_training_is_not_called_a_fault_of_its_row(data):
    write("train", *SOUND, "fine\tmediocre")
    settings = {"data__path": "data/train.tsv", "data__stratify": False}
    labels = {seed: {row.label for row in data(seed=seed, **settings).rows("train")} for seed in range(30)}
    seed = next(seed for seed, found in labels.items() if "mediocre" not in found)
    error, _ = told(lambda: data(seed=seed, **settings).setup("fit"))
    assert "'mediocre' is not among the 2 labels of training" in error.because
    assert error.because.endswith("; it is dividing the rows that leaves it unknown to training")
    assert error.fix.startswith(f"divide otherwise, for example with seed={seed + 1}, or name the files: ")


def test_labels_that_a_vocabulary_of_an_earlier_run_lacks_are_said_to_be_unknown_to_it(data):
    Vocabulary({"labels": ["good"]}).save("vocabulary.json")
    error, _ = told(lambda: data(data__vocabulary="vocabulary.json").setup("fit"))
    assert "'poor' is not among the 1 labels of vocabulary.json" in error.because


def test_a_vocabulary_of_another_task_is_refused(data):
    Vocabulary({"words": ["good"]}).save("vocabulary.json")
    with pytest.raises(ConfigError, match="the vocabulary has no labels") as caught:
        data(data__vocabulary="vocabulary.json").setup("fit")
    assert caught.value.because == "'vocabulary.json' has words: it is of another task"
    assert caught.value.where.key == "data.vocabulary"


def test_bad_rows_of_a_file_that_is_divided_are_told_in_its_order(data):
    write("train", *SOUND, "bad row\tgood", "\tgood", "bad again\tgood", *SOUND)
    _, places = told(lambda: data(data__path="data/train.tsv").context)
    assert places == ["train.tsv:13", "train.tsv:14", "train.tsv:15"]


def test_a_file_that_is_unfit_as_a_whole_waits_until_the_rows_are_mended(data):
    write("train", *SOUND, "\tgood")
    write("validation", "fine\tgood", "fine\tmediocre")
    Path("data/test.tsv").write_bytes("fine\tgood\n".encode("utf-16"))
    assert told(lambda: data().context)[1] == ["train.tsv:13", "validation.tsv:2"]
    write("train", *SOUND)
    write("validation", "fine\tgood")
    assert "UTF-16" in told(lambda: data().setup("fit"))[0].what


def test_where_labels_cannot_be_learnt_the_rows_that_cannot_be_read_are_told(data, config):
    class Unlearnable(model_class(config())):
        @classmethod
        def fit(cls, samples, options, processor, vocabulary=None):
            raise KeyError("a mistake in the project's code")

    write("train", *SOUND, "\tgood")
    write("validation", "\tgood", "fine\tmediocre")
    assert told(lambda: data(Unlearnable).context)[1] == ["train.tsv:13", "validation.tsv:1"]


def test_measuring_a_model_names_the_rows_that_it_is_measured_on(data):
    known = data().context
    write("train", *SOUND, "\tgood")
    write("test", "\tgood", "bad row\tgood", "fine\tgood")
    assert told(lambda: data(context=known).encoded("test"))[1] == ["test.tsv:1", "test.tsv:2"]
    divided = data(context=known, data__path={"train": "data/test.tsv"})
    assert told(lambda: divided.encoded("test"))[1] == ["test.tsv:1", "test.tsv:2"]


def test_rows_of_files_that_are_too_small_to_divide_are_told_all_the_same(data):
    write("all", "\tgood", "bad row\tgood", "fine\tpoor")
    assert told(lambda: data(data__path="data/all.tsv").context)[1] == ["all.tsv:1", "all.tsv:2"]


def test_a_training_file_that_cannot_be_read_is_named_among_what_is_there(data):
    Path("data/train.tsv").rename("data/train.tsv.gz")
    error, _ = told(lambda: data().context)
    assert error.what == "there are no training rows"
    assert error.because == "expected a train.* file in data ('train.tsv.gz' cannot be read as rows)"
    assert error.fix.startswith("unpack, convert or rename the file, or name the files: ")
    Path("data/train.tsv.gz").unlink()
    assert told(lambda: data().context)[0].fix.startswith("add one, or name the files: ")


@pytest.mark.parametrize(("column", "got"), [(False, "False"), (None, "null"), (0.5, "0.5"), (["a"], "['a']")])
def test_a_column_is_a_name_or_a_position(data, column, got):
    with pytest.raises(ConfigError, match=re.escape(f"data.columns.label cannot be {got}")) as caught:
        data(data__columns={"label": column})
    assert caught.value.where.key == "data.columns.label"
    assert ("quote it" in caught.value.fix) == (column is False)


# splits that have no file


@pytest.fixture
def divided(data, config):
    """Return what makes the data of a file that is divided, by label where the task knows one for each row."""

    def make(*rows, **changes):
        class Labelled(model_class(config())):
            @classmethod
            def strata(cls, samples, options):
                return (sample.label for sample in samples)

        write("all", *rows)
        return data(Labelled, data__path="data/all.tsv", **changes)

    return make


def labels(found):
    return {split: Counter(sample.label for sample in found.rows(split)) for split in ("train", "validation", "test")}


def test_each_split_gets_its_share_of_every_label_where_it_is_to_be_so(divided):
    found = labels(divided(*SOUND * 10, data__stratify=True))
    assert found == {
        "train": {"good": 48, "poor": 48},
        "validation": {"good": 6, "poor": 6},
        "test": {"good": 6, "poor": 6},
    }


def lines(found):
    return [found.origin("test", row).line for row in range(len(found.rows("test")))]


def test_a_project_that_knows_no_such_setting_divides_as_it_did(divided, data):
    plain = lines(divided(*SOUND * 7))
    assert plain == lines(data(data__path="data/all.tsv", data__stratify=True))  # a task without labels of whole rows
    assert plain != lines(divided(*SOUND * 7, data__stratify=True))


def test_a_file_that_cannot_be_read_is_named_where_its_split_is_taken_from_training(data, caplog):
    Path("data/test.tsv").rename("data/test.parquet")
    data().rows("test")
    assert caplog.messages == [
        "test: no file of its own ('test.parquet' cannot be read as rows), so it has 3 of 28 training rows"
    ]


def test_a_label_that_a_split_has_no_row_of_is_told_once(divided, caplog):
    found = divided(*SOUND * 2, "fine\tmediocre", data__stratify=True)
    found.setup("fit")
    found.rows("test")
    for split in ("validation", "test"):
        assert caplog.messages.count(f"{split}: no file of its own, so it has 2 of 25 training rows") == 1
        assert [line for line in caplog.messages if line.startswith(f"{split}: no row of")] == [
            f"{split}: no row of 1 of 3 labels, which are too rare to divide: 'mediocre'"
        ]

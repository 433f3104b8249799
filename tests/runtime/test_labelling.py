from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from scaffold.runtime import (
    BadRow,
    Batch,
    ClassificationOutput,
    LabelOptions,
    LabelTask,
    Sample,
    TextOptions,
    encode_text,
)
from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.encoding import encode
from scaffold.runtime.reading.readers import Schema, read_rows


@dataclass
class Verse(Sample):
    text: str
    label: str | list[str] | float | None = None


class VerseTask(LabelTask):
    """A task in the fewest lines: what a row is, and how it becomes token ids."""

    sample_type = Verse

    @classmethod
    def texts(cls, sample):
        return [sample.text]

    @classmethod
    def encode(cls, sample, context, stage):
        features = encode_text(context.processor, sample.text, max_length=context.options.max_length)
        return cls.labelled(features, sample.label, context, stage)


ROWS = [Verse("one day", "sad"), Verse("two days and a night", "glad")]
NUMBERS = [Verse("one day", 0.5), Verse("two days and a night", "2")]


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([row.text for row in ROWS * 3])


@pytest.fixture
def fitted(tokenizer):
    def make(rows=ROWS, **options):
        return VerseTask.fit(rows, LabelOptions(**options), tokenizer)

    return make


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("".join(f"{row.text}\t{row.label}\n" for row in ROWS), encoding="utf-8")
    return read_rows([path], Schema(Verse))


def batch_of(context, rows, stage="train"):
    features = [feature for row in rows for feature in VerseTask.encode(row, context, stage)]
    return Batch(VerseTask.collate(features, context, stage, None), rows)


def test_names_are_numbered_and_numbers_are_one_output(fitted):
    assert fitted().facts == {"num_labels": 2}
    assert fitted(NUMBERS, target="regression").facts == {"num_labels": 1}


def test_a_batch_has_the_labels_that_its_target_makes(fitted):
    assert batch_of(fitted(), ROWS)["labels"].tolist() == [1, 0]
    assert batch_of(fitted(NUMBERS, target="regression"), NUMBERS)["labels"].tolist() == [0.5, 2.0]
    assert batch_of(fitted(target="multi"), ROWS)["labels"].tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_rows_to_predict_need_no_label(fitted):
    assert "labels" not in batch_of(fitted(), [Verse("one night")], "predict")
    with pytest.raises(BadRow, match="expected a label, got none"):
        batch_of(fitted(), [Verse("one night")], "test")


def test_short_rows_are_left_out_of_training_only(fitted, rows):
    encoded = [encode(VerseTask, rows, fitted(min_length=5), stage) for stage in ("train", "validation")]
    assert [len(one.store) for one in encoded] == [1, 2]
    assert [found.message for found in encoded[0].left_out] == ["it is shorter than task.min_length"]


def test_a_row_that_is_no_text_is_never_too_short(fitted, rows):
    class SizeTask(VerseTask):
        @classmethod
        def encode(cls, sample, context, stage):
            return cls.labelled({"size": len(sample.text)}, sample.label, context, stage)

    assert len(encode(SizeTask, rows, fitted(min_length=5), "train").store) == 2


def test_logits_are_counted_measured_and_decoded_by_the_target(fitted):
    context = fitted()
    batch, output = batch_of(context, ROWS), ClassificationOutput(logits=torch.tensor([[0.0, 9.0], [0.0, 9.0]]))
    metrics = VerseTask.build_metrics(context)
    VerseTask.update_metrics(metrics, output, batch, context)
    assert metrics.compute()["accuracy"] == 0.5
    assert (VerseTask.tally(output, batch, context)["accuracy"], VerseTask.num_items(batch)) == (1, 2)
    assert [prediction.value for prediction in VerseTask.decode(output, batch, context)] == ["sad", "sad"]
    assert VerseTask.monitor(context) == ("val/accuracy", "max")


@pytest.mark.parametrize("lengths", [(0, 10), (11, 10)])
def test_lengths_that_do_not_fit_together_are_refused(lengths):
    with pytest.raises(ValueError, match=r"expected 1 <= min_length <= max_length, got \d+ and 10"):
        TextOptions(*lengths)

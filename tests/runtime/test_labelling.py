from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torchmetrics import Metric

from scaffold.errors import ModelError
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
from scaffold.runtime.measuring import refuse_several
from scaffold.runtime.reading.formats import Schema
from scaffold.runtime.reading.rows import read_rows


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


@pytest.mark.parametrize(
    "target, rows, logits, chosen, values, figure",
    [
        ("single", ROWS, [[0.0, 9.0], [0.0, 9.0]], [0, 0], ["glad", "glad"], ("accuracy", 0.5)),
        ("multi", ROWS, [[-9.0, -9.0]] * 2, [[0, 1], [0, 1]], [["sad"], ["sad"]], ("exact_match", 0.5)),
        ("regression", NUMBERS, [[7.0], [7.0]], [0.5, 1.0], [0.5, 1.0], ("mae", 0.5)),
    ],
)
def test_what_the_model_chooses_itself_is_measured_and_predicted(fitted, target, rows, logits, chosen, values, figure):
    context = fitted(rows, target=target)
    output = ClassificationOutput(logits=torch.tensor(logits), predictions=torch.tensor(chosen))
    batch, metrics = batch_of(context, rows), VerseTask.build_metrics(context)
    VerseTask.update_metrics(metrics, output, batch, context)
    assert metrics.compute()[figure[0]] == figure[1]
    assert [prediction.value for prediction in VerseTask.decode(output, batch, context)] == values
    assert VerseTask.tally(output, batch, context) in ({figure[0]: 1}, {})


def test_a_chosen_label_has_its_own_probability(fitted):
    context = fitted()
    output = ClassificationOutput(logits=torch.tensor([[0.0, 0.0], [2.0, -1.0]]), predictions=torch.tensor([1, 1]))
    scores = [prediction.score for prediction in VerseTask.decode(output, batch_of(context, ROWS), context)]
    assert scores == pytest.approx([0.5, 0.047426], abs=1e-5)


class Fussy(Metric):
    """A metric that wants scores."""

    def update(self, preds, target):
        raise ValueError(f"expected scores, got {preds.dtype}\nand more")

    def compute(self):
        return torch.zeros(3)


def test_a_metric_that_cannot_be_updated_is_named_with_the_hook_to_write(fitted):
    context = fitted()
    metrics, batch = VerseTask.build_metrics(context), batch_of(context, ROWS)
    metrics.add_metrics({"fussy": Fussy()})
    with pytest.raises(ModelError, match="the metric fussy cannot be updated") as found:
        VerseTask.update_metrics(metrics, ClassificationOutput(logits=torch.zeros(2, 2)), batch, context)
    assert found.value.because == "Fussy.update ended with ValueError: expected scores, got torch.int64"
    assert found.value.fix.startswith("the task's update_metrics hands all metrics what is predicted and what is right")


class Full(Fussy):
    """A metric for which there is no memory."""

    def update(self, preds, target):
        raise torch.OutOfMemoryError("out of memory")


def test_memory_that_does_not_suffice_is_no_fault_of_a_metric(fitted):
    context = fitted()
    metrics, batch = VerseTask.build_metrics(context), batch_of(context, ROWS)
    metrics.add_metrics({"full": Full()})
    with pytest.raises(torch.OutOfMemoryError):
        VerseTask.update_metrics(metrics, ClassificationOutput(logits=torch.zeros(2, 2)), batch, context)


def test_a_metric_of_several_figures_is_refused_by_name():
    with pytest.raises(ModelError, match="the metric by is not one figure") as found:
        refuse_several({"f1": torch.tensor(1.0), "by": torch.zeros(3)})
    assert found.value.because == "its compute returns a tensor of shape (3,)"
    assert "ClasswiseWrapper(metric, labels=[…])" in found.value.fix


@pytest.mark.parametrize("lengths", [(0, 10), (11, 10)])
def test_lengths_that_do_not_fit_together_are_refused(lengths):
    with pytest.raises(ValueError, match=r"expected 1 <= min_length <= max_length, got \d+ and 10"):
        TextOptions(*lengths)

"""What the template's task does with pairs: segments, names and scores, lengths, and faulty rows."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scaffold.errors import ConfigError, DataError

ROWS = [
    ("play a song", "play some music", "same"),
    ("set a timer", "stop the timer", "other"),
    ("will it rain", "is rain coming", "same"),
    ("play a song", "set an alarm", "other"),
]
SCORES = [(first, second, score) for (first, second, _), score in zip(ROWS, ("4.5", "2", "4", "1e0"), strict=True)]


@pytest.fixture
def project(new, opened):
    return opened(new("sentence-pair-classifier"))


def write(rows: list[tuple[str, ...]], name: str) -> Path:
    path = Path("data") / name
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_all(rows: list[tuple[str, ...]]) -> None:
    for split in ("train", "validation", "test"):
        write(rows, f"{split}.tsv")


def prepared(*overrides: str):
    """The data of the project in the current folder."""
    from scaffold.runtime import Backbone, DataModule, compose, model_class

    config = compose("conf", *overrides)
    return DataModule(model_class(config), config, Backbone(**config.backbone))


def built(data, *overrides: str):
    from scaffold.runtime import build, compose

    torch.manual_seed(13)
    return build(compose("conf", *overrides), data.context, data.backbone).eval()


def train(*overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module("train").train(compose("conf", "experiment=smoke", "run_dir=runs/one", *overrides))


def predicted(source: str) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", source, "predictions.jsonl", device="cpu")
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


# Names and scores


def test_names_are_measured_by_accuracy_and_f1_and_predicted_with_their_probability(project):
    write_all(ROWS * 3)
    assert {"test/accuracy", "test/f1", "test/loss"} <= train().keys()
    bad, rows = predicted("data/test.tsv")
    assert (bad, len(rows)) == (0, 12)
    assert all(row["prediction"] in {"same", "other"} and 0.5 <= row["score"] <= 1 for row in rows)


def test_scores_are_measured_by_their_correlations_with_no_other_change(project):
    write_all(SCORES * 3)
    assert {"test/mae", "test/pearson", "test/spearman"} <= train("task.target=regression").keys()
    _, rows = predicted("data/test.tsv")
    assert all(isinstance(row["prediction"], float) for row in rows)


def test_the_sample_for_scores_is_laid_out_when_they_are_asked_for(new, opened):
    project = opened(new("sentence-pair-classifier", answers={"target": "regression"}))
    rows = [line.split("\t") for line in (project / "data" / "train.tsv").read_text().splitlines()]
    assert {len(row) for row in rows} == {3}
    assert all(1 <= float(score) <= 5 for _, _, score in rows)
    assert prepared().context.facts == {"num_labels": 1}


# Segments


def test_the_second_sentence_is_another_segment(project):
    data = prepared()
    sample = data.rows("train")[0]
    [features] = data.task.encode(sample, data.context, "train")
    pieces = data.context.processor
    first = [piece for piece, kind in zip(features["input_ids"], features["token_type_ids"], strict=True) if not kind]
    assert pieces.decode(first, skip_special_tokens=True).strip() == sample.sentence1
    assert data.first_batch("train")["token_type_ids"].max() == 1


def test_the_model_uses_the_segments(project):
    data = prepared()
    model, batch = built(data), data.first_batch("validation")
    unaware = dict(batch) | {"token_type_ids": torch.zeros_like(batch["token_type_ids"])}
    assert not torch.allclose(model(**batch).logits, model(**unaware).logits, atol=1e-4)


def test_the_scratch_encoder_matches_the_sentences(project):
    assert built(prepared()).encoder.match is not None
    with pytest.raises(ConfigError, match="architecture bert has no match layer"):
        built(prepared("backbone.architecture=bert"))
    assert built(prepared("backbone.architecture=bert", "backbone.match=false")).encoder.config.model_type == "bert"


def test_a_pretrained_encoder_gets_segments_where_it_has_them(project, tiny_bert):
    write_all(ROWS)
    overrides = ("backbone=pretrained", f"backbone.name={tiny_bert}")
    assert prepared(*overrides).first_batch("train")["token_type_ids"].max() == 1
    assert train(*overrides)["train/epochs"] == 1


def test_a_pretrained_encoder_without_segments_gets_none(project, tmp_path):
    from transformers import BertTokenizer, DistilBertConfig, DistilBertModel

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "a", "song"]
    config = DistilBertConfig(vocab_size=len(pieces), dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(tmp_path / "tiny")
    names = ["input_ids", "attention_mask"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    BertTokenizer(vocab=vocabulary, model_input_names=names).save_pretrained(tmp_path / "tiny")
    write_all(ROWS)
    overrides = ("backbone=pretrained", f"backbone.name={tmp_path / 'tiny'}")
    assert "token_type_ids" not in prepared(*overrides).first_batch("train")
    assert train(*overrides)["train/epochs"] == 1


# Lengths and formats


def test_the_longer_sentence_of_a_long_pair_is_cut_and_counted(project, caplog):
    write([("play " * 50, "play play", "same"), ("timer", "clock", "other")], "train.tsv")
    data = prepared("task.max_length=16")
    [features] = data.task.encode(data.rows("train")[0], data.context, "train")
    assert len(features["input_ids"]) == 16
    assert data.context.processor.decode(features["input_ids"]).endswith("play[SEP] play play[SEP]")
    data.encoded("train")
    assert "train: 1 of 2 rows were cut to task.max_length tokens" in caplog.text


def test_the_columns_that_were_asked_for_are_read_and_others_carried_along(new, opened):
    answers = {"first_column": "premise", "second_column": "hypothesis", "label_column": "gold label"}
    project = opened(new("sentence-pair-classifier", answers=answers))
    rows = [dict(zip(("id", *answers.values()), (f"r{n}", *row), strict=True)) for n, row in enumerate(ROWS)]
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (project / "data" / f"{split}.jsonl").write_text(text, encoding="utf-8")
    train("+data.columns.id=id")
    _, found = predicted("data/test.jsonl")
    assert [(row["sentence1"], row["sentence2"], row["label"], row["id"]) for row in found] == [
        (*row, f"r{n}") for n, row in enumerate(ROWS)
    ]


# Rows that are not as they should be


@pytest.mark.parametrize(
    "row, message",
    [
        (("set a timer",), "expected 2 to 3 columns (sentence1, sentence2, label), got 1"),
        (("set a timer", "", "same"), "expected a value in 'sentence2', got the empty text ''"),
        (("a", "b", "same", "c"), "expected 2 to 3 columns (sentence1, sentence2, label), got 4"),
    ],
)
def test_a_row_that_is_no_pair_names_file_and_line(project, row, message):
    write([ROWS[0], row], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared().rows("train")
    assert (str(found.value.where), found.value.because) == ("data/train.tsv:2", message)


@pytest.mark.parametrize(
    "target, row, message",
    [
        ("single", ("a song", "music"), "expected a label, got none"),
        (
            "regression",
            ("a song", "music", "high"),
            "expected a number as label (task.target is regression), got 'high'",
        ),
    ],
)
def test_a_label_that_cannot_be_learnt_names_file_and_line(project, target, row, message):
    write([*(SCORES if target == "regression" else ROWS), row], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared(f"task.target={target}").encoded("train")
    assert (str(found.value.where), found.value.because) == ("data/train.tsv:5", message)

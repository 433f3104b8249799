"""What the template's task does with rows: labels of three kinds, lengths, and rows that are not as they should be."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from scaffold.errors import ConfigError, DataError

KINDS = {
    "single": [("play a song", "music"), ("set a timer", "timer"), ("will it rain", "weather"), ("a song", "music")],
    "multi": [
        ("play a song", "music"),
        ("play it for an hour", "music|timer"),
        ("will it rain", ""),
        ("an hour", "timer"),
    ],
    "regression": [("play a song", "0.5"), ("set a timer", "-2"), ("will it rain", "1e1"), ("a song", "0")],
}


SINGLE = KINDS["single"]


@pytest.fixture
def project(new, opened):
    return opened(new("sequence-classifier"))


def write(rows: list[tuple[str, ...]], name: str) -> Path:
    path = Path("data") / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prepared(*overrides: str):
    """The data of the project in the current folder."""
    from scaffold.runtime import Backbone, DataModule, compose, model_class

    config = compose("conf", "backbone.hidden_size=32", *overrides)
    return DataModule(model_class(config), config, Backbone(**config.backbone))


def train(*overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module("train").train(compose("conf", "experiment=smoke", "run_dir=runs/one", *overrides))


def predicted(source: str) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", source, "predictions.jsonl", device="cpu")
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


# Options


@pytest.mark.parametrize("kind", ["single", "regression"])
def test_each_kind_of_label_trains_and_predicts_with_no_other_change(project, kind):
    for split in ("train", "validation", "test"):
        write(KINDS[kind] * 3, f"{split}.tsv")
    train(f"task.target={kind}")
    bad, rows = predicted("data/test.tsv")
    assert (bad, len(rows)) == (0, 12)
    values = [row["prediction"] for row in rows]
    if kind == "single":
        assert set(values) <= {"music", "timer", "weather"}
        assert all(0 < row["score"] <= 1 for row in rows)
    else:
        assert all(isinstance(value, float) for value in values)
        assert {row["label"] for row in rows} == {0.5, -2.0, 10.0, 0.0}


def test_the_columns_that_were_asked_for_are_read_from_csv_and_the_sample_still_trains(new, opened):
    project = opened(new("sequence-classifier", answers={"text_column": "what they said", "label_column": "intent"}))
    assert len(prepared().encoded("train").store) > 100
    text = "id,intent,what they said\n" + "".join(f"{n},{label},{said}\n" for n, (said, label) in enumerate(SINGLE))
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        (project / "data" / f"{split}.csv").write_text(text, encoding="utf-8")
    train("+data.columns.id=id")
    _, rows = predicted("data/test.csv")
    assert [(row["sequence"], row["label"], row["id"]) for row in rows] == [
        (said, label, str(n)) for n, (said, label) in enumerate(SINGLE)
    ]


def test_several_labels_may_be_none_in_jsonl(project):
    rows = [{"sequence": text, "label": [name for name in label.split("|") if name]} for text, label in KINDS["multi"]]
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        path = project / "data" / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows * 3), encoding="utf-8")
    train("task.target=multi")
    _, found = predicted("data/test.jsonl")
    assert [row["label"] for row in found] == [row["label"] for row in rows * 3]
    assert all(set(row["prediction"]) <= {"music", "timer"} for row in found)


def test_training_rows_below_the_shortest_length_are_left_out_and_counted(project, caplog):
    write([("a", "music"), ("play a song", "music"), ("set a timer", "timer")], "train.tsv")
    write([("a", "music")], "validation.tsv")
    data = prepared("task.min_length=4")
    assert len(data.encoded("train").store) == 2
    assert len(data.encoded("validation").store) == 1
    assert "train: 1 of 3 rows are shorter than task.min_length: left out" in caplog.text


def test_long_rows_are_cut_and_counted(project, caplog):
    write([("play " * 50, "music"), ("timer", "timer")], "train.tsv")
    data = prepared("task.max_length=8")
    assert data.encoded("train").store.lengths.max() == 8
    assert "train: 1 of 2 rows were cut to task.max_length tokens" in caplog.text


def test_the_vocabulary_of_an_earlier_run_is_used_again(project):
    Path("vocabulary.json").write_text(
        json.dumps({"labels": ["zoo", *["weather", "timer", "shopping", "music", "lights"]]})
    )
    context = prepared("data.vocabulary=vocabulary.json").context
    assert context.vocabulary.element("labels", 0) == "zoo"
    assert context.facts == {"num_labels": 6}


def test_one_file_is_divided_into_the_three_splits(project):
    path = write([(f"song number {number}", ("music", "timer")[number % 2]) for number in range(40)], "all.tsv")
    data = prepared(f"data.path={path}")
    rows = [data.rows(split) for split in ("train", "validation", "test")]
    assert [len(part) for part in rows] == [32, 4, 4]
    assert len({sample.sequence for part in rows for sample in part}) == 40


# Rows that are not as they should be


def test_a_label_that_training_never_saw_names_file_line_and_the_nearest(project):
    write([("play a song", "music"), ("set a timer", "timmer")], "validation.tsv")
    with pytest.raises(DataError) as found:
        prepared().encoded("validation")
    assert (found.value.exit_code, str(found.value.where)) == (7, "data/validation.tsv:2")
    assert "'timmer' is not among the 5 labels of training; did you mean 'timer'?" in str(found.value)


def test_a_row_without_a_label_cannot_be_learnt(project):
    write([("play a song", "music"), ("set a timer",), ("rain", "weather"), ("snow",)], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared().encoded("train")
    assert str(found.value.where) == "data/train.tsv:2"
    assert "data/train.tsv:4: expected a label, got none" in str(found.value)
    assert len(prepared("data.on_bad_row=skip").encoded("train").store) == 2


def test_a_number_that_is_none_names_file_and_line(project):
    write([("play a song", "0.5"), ("set a timer", "much")], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared("task.target=regression").encoded("train")
    assert str(found.value.where) == "data/train.tsv:2"
    assert "expected a number as label (task.target is regression), got 'much'" in str(found.value)


def test_one_class_only_is_refused(project):
    write([("play a song", "music"), ("a song", "music")], "train.tsv")
    with pytest.raises(DataError, match="at least two different labels") as found:
        prepared().context  # noqa: B018
    assert found.value.exit_code == 7


# Prediction


def test_rows_without_a_label_are_predicted_and_what_else_they_hold_is_carried_along(project):
    train()
    rows = [{"id": 7, "sequence": "play a song"}, {"id": 8, "sequence": "rain", "source": "é"}]
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    bad, found = predicted("new.jsonl")
    assert bad == 0
    assert [{key: row[key] for key in row if key not in {"prediction", "score"}} for row in found] == [
        {"sequence": "play a song", "id": 7},
        {"sequence": "rain", "id": 8, "source": "é"},
    ]


def test_bad_rows_keep_their_places_among_the_predictions(project):
    train()
    lines = ['{"sequence": "play a song"}', '{"sequence": ""}', "no json", '{"sequence": "will it rain"}', "[]"]
    Path("new.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    bad, found = predicted("new.jsonl")
    assert bad == 3
    assert ["prediction" in row for row in found] == [True, False, False, True, False]
    assert [row.get("row") for row in found] == [None, 2, 3, None, 5]
    assert all(row["error"] for row in (found[1], found[2], found[4]))


def test_a_run_measures_the_rows_of_another_file(project):
    from scaffold.runtime.commands import evaluate

    train()
    write([("play a song", "music"), ("set a timer", "timer")], "fresh.tsv")
    found = evaluate("runs/latest", "data/fresh.tsv", accelerator="cpu")
    assert found.keys() == {"test/loss", "test/accuracy", "test/f1"}
    assert json.loads(Path("runs/latest/evaluation-data-fresh.json").read_text(encoding="utf-8")) == found


def test_a_metric_that_has_no_value_is_null_in_the_files(project):
    for split in ("train", "validation", "test"):
        write([("play a song", "1"), ("set a timer", "1")], f"{split}.tsv")
    train("task.target=regression")
    found = json.loads(Path("runs/latest/metrics.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["test/pearson"] is None
    assert found["test/mae"] > 0


def test_rows_of_several_labels_are_batched_by_their_tokens(new, opened):
    opened(new("sequence-classifier", "mymodel", {"target": "multi"}))
    store = prepared().encoded("train").store
    assert store.lengths.tolist() == [len(store[row]["input_ids"]) for row in range(len(store))]


def test_a_pretrained_default_comes_with_the_rates_that_it_wants(new):
    folder = new("sequence-classifier", "mymodel", {"backbone": "pretrained"})
    assert "lr: 5.0e-5" in (folder / "conf/optim/adamw.yaml").read_text()


@pytest.mark.parametrize("override", ["+trainer.logger=false", "+trainer.default_root_dir=x"])
def test_what_the_run_sets_itself_is_refused_in_the_trainer(project, override):
    with pytest.raises(ConfigError, match="is not a setting here"):
        train(override)


def test_a_run_cannot_be_called_latest(project):
    with pytest.raises(ConfigError, match="cannot be called latest"):
        train("run_dir=runs/latest")

"""What the template's task does with rows: questions, answers at their characters, long contexts, and none at all."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from scaffold.errors import DataError

SHOP = "The bakery opens at 6 am and closes at 2 pm."
ROWS = [
    (SHOP, "When does the bakery open?", 20, 24),
    (SHOP, "When does the bakery close?", 39, 43),
    ("Anna bakes the bread.", "Who bakes the bread?", 0, 4),
    ("We open at 🕕 six 🥐 each day", "When do you open?", 11, 16),
]
SPLITS = ("train", "validation", "test")


@pytest.fixture
def project(new, opened):
    return opened(new("question-answerer"))


def write(rows: list[tuple[object, ...]], name: str) -> Path:
    path = Path("data") / name
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
    return path


def write_json(rows: object, name: str) -> Path:
    """Write an object a line, or one object; nothing else is left in `data`."""
    path = Path("data") / name
    several = rows if isinstance(rows, list) else [rows]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in several), encoding="utf-8")
    return path


def empty_data() -> None:
    for path in Path("data").iterdir():
        path.unlink()


def as_objects(rows: list[tuple[object, ...]], *names: str) -> list[dict[str, object]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def prepared(*overrides: str):
    """The data of the project in the current folder."""
    from scaffold.runtime import Backbone, DataModule, compose, model_class

    config = compose("conf", "backbone.hidden_size=32", *overrides)
    return DataModule(model_class(config), config, Backbone(**config.backbone))


def train(*overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module("train").train(compose("conf", "run_dir=runs/one", *overrides))


def predicted(source: str | Path) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", str(source), "predictions.jsonl", device="cpu")
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def answer_of(row: dict[str, object]) -> str:
    return row["context"][row["start"] : row["end"]] if "start" in row else ""


# Learning


def test_the_sample_is_learnt_and_its_predictions_are_what_was_measured(project):
    from scaffold.runtime.answers import AnswerScores

    metrics = train("trainer.max_epochs=8")
    assert metrics["test/exact_match"] > 0.35
    assert metrics["test/f1"] >= metrics["test/exact_match"]
    bad, rows = predicted("data/test.tsv")
    scores = AnswerScores()
    scores.update([row["prediction"] for row in rows], [row["answers"] for row in rows])
    assert bad == 0
    assert scores.compute()["exact_match"].item() == pytest.approx(metrics["test/exact_match"])
    assert all(row["prediction"] == answer_of(row) for row in rows)


def test_windows_of_a_long_row_are_learnt_apart_and_answered_together(project):
    filler = "There is nothing to be seen here. " * 40
    long = [
        (filler + context, question, start + len(filler), end + len(filler)) for context, question, start, end in ROWS
    ]
    for split in SPLITS:
        write([*ROWS, *long] * 4, f"{split}.tsv")
    data = prepared("task.max_length=64", "task.stride=16")
    store = data.encoded("train").store
    assert len(store) > 3 * 32
    assert store.lengths.max() <= 64
    batches = list(data.val_dataloader())
    assert sum(len(batch.samples) for batch in batches) == 32
    assert any(len(batch["input_ids"]) > 2 * len(batch.samples) for batch in batches)
    train("experiment=smoke", "task.max_length=64", "task.stride=16")
    bad, rows = predicted("data/test.tsv")
    assert (bad, len(rows)) == (0, 32)
    assert all(row["prediction"] == answer_of(row) != "" for row in rows)


@pytest.mark.parametrize("side", ["right", "left"])
def test_positions_point_at_the_answer_in_the_padded_batch(project, side):
    for split in SPLITS:
        write(ROWS, f"{split}.tsv")
    data = prepared()
    data.context.processor.padding_side = side
    batch = data.first_batch("validation")
    for sample, ids, start, end in zip(
        batch.samples, batch["input_ids"], batch["start_positions"], batch["end_positions"], strict=True
    ):
        text = data.context.processor.decode(ids[start : end + 1])
        assert text.strip() == sample.context[sample.answer_start : sample.answer_end]


def test_an_encoder_that_tells_no_segments_apart_gets_none(project):
    data = prepared("backbone.match=false")
    data.context.processor.model_input_names = ["input_ids", "attention_mask"]
    batch = data.first_batch("validation")
    assert batch.keys() == {"input_ids", "attention_mask", "context_mask", "start_positions", "end_positions"}


# Formats


@pytest.mark.parametrize("name", ["question", "query"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_question_is_read_under_both_of_classys_names(project, name, kind):
    empty_data()
    rows = as_objects(ROWS, "context", name, "answer_start", "answer_end")
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(f'"{value}"' for value in row.values()) for row in rows)]
        Path("data/train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    else:
        write_json(rows, "train.jsonl")
    data = prepared("data.split={validation: 0.25, test: 0.25}")
    found = [sample for split in SPLITS for sample in data.rows(split)]
    assert sorted(sample.question for sample in found) == sorted(row[1] for row in ROWS)


def test_one_question_under_two_names_is_a_bad_row(project):
    empty_data()
    write_json(
        as_objects([(*ROWS[0], "What?")], "context", "question", "answer_start", "answer_end", "query"), "all.jsonl"
    )
    with pytest.raises(DataError, match=r"expected one key for each of .*, got 'question', 'query'"):
        prepared("data.path=data/all.jsonl").rows("train")


def test_squads_own_files_train_and_are_predicted_a_question_a_row(project):
    empty_data()
    questions = [
        {"id": f"q{place}", "question": question, "answers": [{"text": SHOP[start:end], "answer_start": start}] * 2}
        for place, (_, question, start, end) in enumerate(ROWS[:2])
    ]
    for split in SPLITS:
        write_json({"data": [{"paragraphs": [{"context": SHOP, "qas": questions}] * 4}]}, f"{split}.json")
    train("experiment=smoke")
    bad, rows = predicted("data/test.json")
    assert bad == 0
    assert [(row["id"], row["question"], row["answers"]) for row in rows[:2]] == [
        ("q0", "When does the bakery open?", ["6 am"]),
        ("q1", "When does the bakery close?", ["2 pm"]),
    ]


def test_rows_to_predict_need_no_answer_and_what_else_they_hold_is_carried_along(project):
    train("experiment=smoke")
    path = write_json([{"context": SHOP, "query": "When does it open?", "source": "é"}], "new.jsonl")
    bad, [row] = predicted(path)
    assert bad == 0
    assert row["prediction"] == answer_of(row)
    assert {"context", "question", "source", "prediction", "start", "end", "score"} == row.keys()
    assert 0 < row["score"] <= 1


def test_several_right_answers_are_measured_by_the_nearest(project):
    from scaffold.runtime import Answer

    data = prepared()
    fields = {"context": SHOP, "question": "?", "answer_start": "20", "answer_end": "24", "answers": "6 am|six"}
    sample = data.task.sample_type.parse(fields)
    metrics = data.task.build_metrics(data.context)
    data.task.score(metrics, [sample, sample], [Answer("Six!"), Answer("2 am")])
    assert {name: value.item() for name, value in metrics.compute().items()} == {"exact_match": 0.5, "f1": 0.75}


def test_the_rows_of_restaurant8k_are_all_read(project, real_data):
    folder = real_data("qa/restaurant8k")
    data = prepared(f"data.path={folder}", "+data.columns.id=id", "+data.columns.slot=slot")
    assert [len(data.rows(split)) for split in SPLITS] == [6911, 724, 3477]
    assert data.rows("train")[0].extra == {"id": "train_0-0-people", "slot": "people"}


# Questions without an answer


def test_a_question_may_have_no_answer_where_the_option_says_so(new, opened):
    from scaffold.runtime.commands import evaluate

    opened(new("question-answerer", answers={"no_answer": "true"}))
    metrics = train("trainer.max_epochs=6")
    assert metrics["test/exact_match"] > 0.15
    _, rows = predicted("data/test.tsv")
    assert any("answer_start" not in row for row in rows)
    silent = [not row["prediction"] for row in rows if "answer_start" not in row]
    found = evaluate("runs/latest", accelerator="cpu")
    assert found["test/exact_match/unanswerable"] == pytest.approx(sum(silent) / len(silent))
    assert found["test/f1/answerable"] >= found["test/exact_match/answerable"]
    assert all(row["prediction"] == answer_of(row) for row in rows)


def test_the_threshold_decides_between_an_answer_and_none(project):
    train("experiment=smoke", "task.no_answer=true", "task.threshold=1000")
    assert {row["prediction"] for row in predicted("data/test.tsv")[1]} == {""}
    train("experiment=smoke", "task.no_answer=true", "task.threshold=-1000", "run_dir=runs/two")
    assert "" not in {row["prediction"] for row in predicted("data/test.tsv")[1]}


def test_candidates_are_listed_with_their_places(project):
    train("experiment=smoke", "task.candidates=3")
    for row in predicted("data/test.tsv")[1]:
        assert len(row["candidates"]) == 3
        assert all(one["prediction"] == row["context"][one["start"] : one["end"]] for one in row["candidates"])
        assert row["prediction"] == row["candidates"][0]["prediction"]


# Rows that are not as they should be


@pytest.mark.parametrize(
    "row, message",
    [
        ((SHOP, "When?"), "expected an answer, got none; set task.no_answer=true if a question may have none"),
        ((SHOP, "", 20, 24), "expected a value in 'question', got the empty text ''"),
        ((SHOP, "When?", 20), "expected both answer_start and answer_end, got 20 and None"),
        (
            (SHOP, "When?", 20, 240),
            "expected an answer within the 44 characters of the context, got one from 20 to 240",
        ),
        ((SHOP, "When?", 21, 25, "6 am"), "at 21 to 25, got ' am '; did you mean 20 to 24, where that text is?"),
        ((SHOP, "When?", "six", 24), "expected a whole number in 'answer_start', got 'six'"),
    ],
)
def test_a_bad_row_is_named_with_its_line_and_what_is_wrong(project, row, message):
    write([ROWS[0], row, ROWS[1]], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared().encoded("train")
    assert (found.value.exit_code, str(found.value.where)) == (7, "data/train.tsv:2")
    assert message in str(found.value)


@pytest.mark.parametrize(
    "options, message",
    [
        (["task.stride=100"], "expected 0 <= stride <= max_length / 4, got 100 and 256"),
        (["task.max_length=8", "task.stride=0"], "expected max_length >= 16"),
        (["task.candidates=-1"], "candidates >= 0"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(project, options, message):
    from scaffold.errors import ConfigError

    with pytest.raises(ConfigError, match=message):
        prepared(*options)

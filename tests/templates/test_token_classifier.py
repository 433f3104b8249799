"""What the template's task does with tokens: spans and other labels, long rows, some tokens only, and faulty rows."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scaffold.errors import ConfigError, DataError

ROWS = [
    ("book the Blue Bell for Friday", "O B-place I-place I-place O B-date"),
    ("a table at Casa Rosa", "O O O B-place I-place"),
    ("on Monday please", "O B-date O"),
]
PLAIN = [("book a table", "VERB DET NOUN"), ("eat soup", "VERB NOUN"), ("the soup", "DET NOUN")]


@pytest.fixture
def project(new, opened):
    return opened(new("token-classifier"))


def write(rows: list[tuple[str, ...]], name: str) -> Path:
    path = Path("data") / name
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_all(rows: list[tuple[str, ...]]) -> None:
    for split in ("train", "validation", "test"):
        write(rows, f"{split}.tsv")


def write_objects(rows: list[dict[str, object]], name: str) -> None:
    for old in Path("data").glob(f"{Path(name).stem}.*"):
        old.unlink()
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (Path("data") / name).write_text(text, encoding="utf-8")


def prepared(*overrides: str):
    """The data of the project in the current folder."""
    from scaffold.runtime import Backbone, DataModule, compose, model_class

    config = compose("conf", "backbone.hidden_size=32", *overrides)
    return DataModule(model_class(config), config, Backbone(**config.backbone))


def built(data, *overrides: str):
    from scaffold.runtime import build, compose

    torch.manual_seed(13)
    return build(compose("conf", "backbone.hidden_size=32", *overrides), data.context, data.backbone).eval()


def train(*overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module("train").train(compose("conf", "experiment=smoke", "run_dir=runs/one", *overrides))


def predicted(source: str) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", source, "predictions.jsonl", device="cpu")
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


# Spans and other labels


def test_tags_of_spans_are_measured_as_spans(project):
    write_all(ROWS * 3)
    found = train()
    assert {"test/precision", "test/recall", "test/f1", "test/loss"} <= found.keys()
    assert prepared().context.facts == {"num_labels": 5, "scheme": "BIO"}  # I-date is legal, though no row has it


def test_other_labels_are_measured_by_accuracy_and_macro_f1(project):
    write_all(PLAIN * 3)
    found = train()
    assert {"test/accuracy", "test/f1"} <= found.keys()
    assert "test/precision" not in found
    assert prepared().context.facts == {"num_labels": 3, "scheme": "none"}


@pytest.mark.parametrize("scheme", ["BIOES", "BILOU", "none"])
def test_the_scheme_can_be_chosen(project, scheme):
    rows = [("on Monday", "O S-date"), ("at Casa Rosa", "O B-place E-place")]
    if scheme == "BILOU":
        rows = [(text, tags.replace("S-", "U-").replace("E-", "L-")) for text, tags in rows]
    write_all(rows)
    assert prepared(f"task.scheme={scheme}").context.facts["scheme"] == scheme


def test_a_scheme_that_the_labels_do_not_follow_is_refused(project):
    write_all(PLAIN)
    with pytest.raises(ConfigError, match=r"task\.scheme cannot be BIO"):
        prepared("task.scheme=BIO").context  # noqa: B018


def test_illegal_tags_in_training_are_a_warning_with_file_and_line(project, caplog):
    write_all([*ROWS, ("at Casa Rosa", "O O I-place")])
    assert prepared().context.facts["scheme"] == "BIO"
    assert "train: tags break BIO in 1 place: data/train.tsv:4: 'I-place' at word 3 after 'O'" in caplog.text


def test_the_sample_of_the_template_has_no_illegal_tags(project, caplog):
    assert prepared().context.facts == {"num_labels": 7, "scheme": "BIO"}
    assert "break" not in caplog.text


def logits_for(batch, tags, names):
    """Scores that choose, for each word of each row, the tag that is given."""
    scores = torch.zeros(*batch["labels"].shape, len(names))
    for row, chosen in enumerate(tags):
        for place, tag in enumerate(chosen):
            scores[row, place, names.index(tag)] = 9.0
    return scores


@pytest.mark.parametrize("strict, f1", [("false", 1.0), ("true", 8 / 9)])
def test_strict_counts_only_spans_that_keep_the_scheme(project, strict, f1):
    from scaffold.runtime import ClassificationOutput

    write_all([*ROWS, ("on May first", "O B-date I-date")])
    data = prepared(f"task.strict={strict}")
    batch, names = data.first_batch("validation"), data.context.vocabulary.elements("labels")
    guesses = [["O", "I-date", "O"] if "Monday" in sample.tokens else sample.labels for sample in batch.samples]
    metrics = data.task.build_metrics(data.context)
    data.task.update_metrics(
        metrics, ClassificationOutput(logits=logits_for(batch, guesses, names)), batch, data.context
    )
    assert metrics.compute()["f1"].item() == pytest.approx(f1)


def chosen(data, tags):
    """A batch, and an output whose scores all say the first label, and whose own choice is other tags."""
    from scaffold.runtime import ClassificationOutput

    batch, names = data.first_batch("validation"), data.context.vocabulary.elements("labels")
    scores = torch.nn.functional.one_hot(torch.zeros_like(batch["labels"]), len(names)).float()
    numbers = [[names.index(tag) for tag in tags(sample)] for sample in batch.samples]
    rows = [torch.tensor(row) for row in numbers]
    predictions = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-7)
    return batch, ClassificationOutput(logits=scores, predictions=predictions)


@pytest.mark.parametrize("rows", [ROWS, PLAIN])
def test_what_a_model_chooses_itself_is_measured_and_predicted(project, rows):
    write_all(rows * 2)
    data = prepared()
    batch, output = chosen(data, lambda sample: sample.labels)
    metrics = data.task.build_metrics(data.context)
    data.task.update_metrics(metrics, output, batch, data.context)
    assert metrics.compute()["f1"] == 1
    assert data.task.tally(output, batch, data.context)["accuracy"] == data.task.num_items(batch)
    decoded = data.task.decode(output, batch, data.context)
    assert [prediction.value for prediction in decoded] == [sample.labels for sample in batch.samples]


@pytest.mark.parametrize("scheme", ["auto", "none"])
def test_metrics_of_torchmetrics_can_be_added_to_those_of_spans(project, scheme):
    from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score
    from torchmetrics.wrappers import ClasswiseWrapper

    write_all(ROWS * 2)
    data = prepared(f"task.scheme={scheme}")
    names = data.context.vocabulary.elements("labels")
    metrics = data.task.build_metrics(data.context)
    by_label = ClasswiseWrapper(MulticlassF1Score(len(names), average=None), labels=list(names), prefix="f1_")
    metrics.add_metrics({"right": MulticlassAccuracy(len(names), average="micro"), "by": by_label})
    batch, output = chosen(data, lambda sample: ["O"] * len(sample.labels))
    data.task.update_metrics(metrics, output, batch, data.context)
    found = metrics.compute()
    labels = [label for sample in batch.samples for label in sample.labels]
    assert found["right"].item() == pytest.approx(labels.count("O") / len(labels))
    assert (found["f1_O"] > 0, found["f1_B-place"]) == (True, 0)


def test_a_tag_whose_type_training_has_under_another_prefix_is_known(project):
    write_all(ROWS)
    write([("on Monday morning", "O B-date I-date")], "validation.tsv")
    data = prepared()
    assert data.context.vocabulary.elements("labels") == ("B-date", "B-place", "I-date", "I-place", "O")
    assert data.encoded("validation").store.take([0])[0]["labels"].tolist() == [4, 0, 2]


def test_an_evaluation_has_the_figures_of_each_type(project):
    from scaffold.runtime.commands import evaluate

    write_all(ROWS * 3)
    trained = train()
    found = evaluate("runs/latest", accelerator="cpu")
    assert {"test/f1/date", "test/recall/place", "test/precision/date"} <= found.keys()
    assert (found["test/spans/date"], found["test/spans/place"]) == (6, 6)
    assert {name for name in trained if name.count("/") > 1} == set()
    assert json.loads(Path("runs/latest/evaluation.json").read_text())["test/spans/date"] == 6


# The model


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_a_word_is_the_mean_of_its_pieces_or_the_first(project, pooling):
    assert train(f"model.pooling={pooling}")["train/epochs"] == 1


def test_any_other_way_is_refused(project):
    with pytest.raises(ConfigError, match=r"model\.pooling cannot be 'last'") as found:
        built(prepared(), "model.pooling=last")
    assert found.value.because == "expected mean or first"


def test_the_loss_is_the_mean_over_labelled_words(project):
    data = prepared()
    batch = data.first_batch("validation")
    output = built(data)(**batch)
    known = batch["labels"] != -100
    expected = torch.nn.functional.cross_entropy(output.logits[known], batch["labels"][known])
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert data.task.num_items(batch) == known.sum() == sum(len(sample.tokens) for sample in batch.samples)


def test_words_without_a_piece_of_their_own_are_labelled_too(project):
    train()
    rows = [{"tokens": ["book", "\u200b", "😀", "\u00a0", "Casa\u0301", "日本"]}]
    Path("new.jsonl").write_text(json.dumps(rows[0]) + "\n", encoding="utf-8")
    bad, [row] = predicted("new.jsonl")
    assert (bad, len(row["prediction"])) == (0, 6)


# Long rows


def test_every_token_of_a_long_row_is_predicted_and_measured(project):
    long = (" ".join(["at Casa Rosa on Monday"] * 30), " ".join(["O B-place I-place O B-date"] * 30))
    write_all([*ROWS, long])
    train("task.max_length=24")
    bad, rows = predicted("data/test.tsv")
    assert bad == 0
    assert [len(row["prediction"]) for row in rows] == [6, 5, 3, 150]


def test_a_long_row_in_windows_is_labelled_and_scored_as_it_is_whole(project):
    from scaffold.runtime import ClassificationOutput

    rows = [(" ".join(text for text, _ in ROWS * 4), " ".join(tags for _, tags in ROWS * 4)), *ROWS]
    write_all(rows)
    data = prepared("task.max_length=20")
    encoded = data.encoded("validation")
    assert len(encoded.store) > 4
    batch, names = data.first_batch("validation"), data.context.vocabulary.elements("labels")
    perfect = torch.nn.functional.one_hot(batch["labels"].clamp(min=0), len(names)).float()
    predictions = data.task.decode(ClassificationOutput(logits=perfect), batch, data.context)
    assert [prediction.value for prediction in predictions] == [sample.labels for sample in batch.samples]
    metrics = data.task.build_metrics(data.context)
    data.task.update_metrics(metrics, ClassificationOutput(logits=perfect), batch, data.context)
    wanted = sum(tags.count("B-") for _, tags in rows[:1]) + 4 * (len(batch.samples) > 1)
    assert metrics["spans"].counts[:, 2].sum() == wanted
    assert metrics.compute()["f1"] == 1


def test_short_rows_are_left_out_of_training_only(project):
    write_all([*ROWS, ("a", "O")])
    data = prepared("task.min_length=4")
    assert [len(data.encoded(split).left_out) for split in ("train", "validation")] == [1, 0]


# Some tokens only


TARGETED = [
    {"tokens": ["the", "old", "bank", "of", "the", "river"], "target": [2, 5], "labels": ["land", "water"]},
    {"tokens": ["money", "bank"], "target": [1], "labels": ["-", "house"]},
    {"tokens": ["a", "river", "bank"], "target": [], "labels": []},
]


def test_only_targets_are_learnt_and_predicted(project):
    for split in ("train", "validation", "test"):
        write_objects(TARGETED, f"{split}.jsonl")
    data = prepared()
    assert data.context.vocabulary.elements("labels") == ("house", "land", "water")
    labels = [feature["labels"].tolist() for feature in data.encoded("train").store]
    assert labels == [[-100, -100, 1, -100, -100, 2], [-100, 0], [-100, -100, -100]]
    train()
    _, rows = predicted("data/test.jsonl")
    given = [[label is not None for label in row["prediction"]] for row in rows]
    assert given == [[False, False, True, False, False, True], [False, True], [False] * 3]


def test_a_batch_without_any_label_has_no_loss(project):
    for split in ("train", "validation", "test"):
        write_objects(TARGETED, f"{split}.jsonl")
    data = prepared("data.batch_size=1")
    model = built(data)
    losses = [model(**batch).loss.item() for batch in data.loader("validation")]
    assert sorted(loss > 0 for loss in losses) == [False, True, True]


# Formats


def test_conll_files_train_and_predict(project):
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        lines = [zip(text.split(), tags.split(), strict=True) for text, tags in ROWS]
        text = "\n".join("".join(f"{word} X {tag}\n" for word, tag in row) for row in lines)
        (project / "data" / f"{split}.conll").write_text(text, encoding="utf-8")
    train("+data.columns.pos=1")
    bad, rows = predicted("data/test.conll")
    assert bad == 0
    assert [(row["tokens"], row["pos"]) for row in rows] == [
        (text.split(), ["X"] * len(text.split())) for text, _ in ROWS
    ]


def test_files_of_any_suffix_are_read_in_the_format_that_is_named(project):
    from scaffold.runtime.commands import evaluate

    for split in ("train", "dev", "test"):
        lines = [zip(text.split(), tags.split(), strict=True) for text, tags in ROWS]
        text = "\n".join("".join(f"{word} X {tag}\n" for word, tag in row) for row in lines)
        (project / "data" / f"{split}.bio").write_text(text, encoding="utf-8")
    for path in (project / "data").glob("*.tsv"):
        path.unlink()
    train("data.format=conll")
    assert evaluate("runs/latest", "data/dev.bio", accelerator="cpu")["test/loss"] > 0
    bad, rows = predicted("data/test.bio")
    assert bad == 0
    assert [row["tokens"] for row in rows] == [text.split() for text, _ in ROWS]
    assert evaluate("runs/latest", str(write(ROWS, "more.tsv")), changes=["data.format=tsv"])["test/loss"] > 0


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(project):
    with pytest.raises(ConfigError, match="there is no format called 'connl'") as found:
        prepared("data.format=connl").rows("train")
    assert found.value.because.startswith("expected one of tsv, csv, jsonl, conll, conllu")
    assert (found.value.fix, str(found.value.where)) == ("did you mean conll?", "data.format")
    with pytest.raises(ConfigError) as found:
        prepared("data.format=parquet").rows("train")
    assert found.value.fix == "name one of these, or register your own for such a suffix"


def test_csv_and_other_column_names_are_read(new, opened):
    project = opened(new("token-classifier", answers={"tokens_column": "words", "labels_column": "tags"}))
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        text = "words,tags\n" + "".join(f"{text},{tags}\n" for text, tags in ROWS)
        (project / "data" / f"{split}.csv").write_text(text, encoding="utf-8")
    assert [sample.tokens for sample in prepared().rows("train")] == [text.split() for text, _ in ROWS]


def test_the_labels_of_an_earlier_run_are_used_again(project):
    write_all(ROWS)
    Path("vocabulary.json").write_text(json.dumps({"labels": ["O", "B-date", "B-place", "I-place", "B-zoo"]}))
    context = prepared("data.vocabulary=vocabulary.json").context
    assert context.vocabulary.index("labels", "O") == 0
    assert context.facts == {"num_labels": 5, "scheme": "BIO"}


def test_a_word_is_one_piece_in_cases_that_it_was_not_trained_in(project):
    write_all(ROWS * 2)
    tokenizer = prepared().context.processor
    assert [len(tokenizer.tokenize(word)) for word in ("Monday", "monday", "please", "Please")] == [1, 1, 1, 1]


# Rows that are not as they should be


@pytest.mark.parametrize(
    "row, message",
    [
        (("book a table", "O O"), "expected one label for each of the 3 tokens, got 2"),
        (("book a table", "O O O", "3"), "expected places from 0 to 2 in 'target', got 3"),
        (
            ("book a table", "O O O", "one"),
            "expected a list with a whole number in every place in 'target', got 'one'; "
            "the columns are tokens, labels, target",
        ),
        (("", "O"), "expected a value in 'tokens', got the empty text ''"),
    ],
)
def test_a_row_whose_parts_do_not_fit_names_file_and_line(project, row, message):
    write([ROWS[0], row], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared().rows("train")
    assert (str(found.value.where), found.value.exit_code) == ("data/train.tsv:2", 7)
    assert found.value.because == message


@pytest.mark.parametrize(
    "row, message",
    [
        ({"tokens": ["a", ""], "labels": ["O", "O"]}, "expected tokens, got an empty one"),
        ({"tokens": [], "labels": []}, "expected tokens, got an empty list"),
        ({"tokens": ["a"], "labels": [1]}, "expected a list with a text in every place in 'labels', got [1]"),
    ],
)
def test_an_object_whose_parts_do_not_fit_names_file_and_line(project, row, message):
    write_objects([{"tokens": ["a"], "labels": ["O"]}, row], "train.jsonl")
    with pytest.raises(DataError) as found:
        prepared().rows("train")
    assert (str(found.value.where), found.value.because) == ("data/train.jsonl:2", message)


def test_a_row_without_labels_cannot_be_learnt(project):
    write([*ROWS, ("a table",)], "train.tsv")
    with pytest.raises(DataError) as found:
        prepared().encoded("train")
    assert (str(found.value.where), found.value.because) == ("data/train.tsv:4", "expected labels, got none")


def test_a_label_that_training_never_saw_names_file_line_and_the_nearest(project):
    write([("on Monday", "O B-dates")], "validation.tsv")
    with pytest.raises(DataError) as found:
        prepared().encoded("validation")
    assert str(found.value.where) == "data/validation.tsv:1"
    assert "'B-dates' is not among the 7 labels of training; did you mean 'B-date'?" in str(found.value)


def test_bad_rows_keep_their_places_among_the_predictions(project):
    train()
    Path("new.tsv").write_text("on Monday\non Monday\tO\n\nat Casa Rosa\n", encoding="utf-8")
    bad, rows = predicted("new.tsv")
    assert bad == 2
    assert [row.get("error") for row in rows] == [
        None,
        "expected one label for each of the 2 tokens, got 1",
        "expected a row, got an empty line",
        None,
    ]

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassAccuracy

from scaffold.errors import DataError
from scaffold.runtime.samples import BadRow
from scaffold.runtime.targets import TARGETS
from scaffold.runtime.vocabulary import Vocabulary

SINGLE, MULTI, SCORE = (TARGETS[name] for name in ("single", "multi", "regression"))
NAMES = Vocabulary({"labels": ["music", "timer", "weather"]})
RANDOM = np.random.default_rng(13)
LOGITS = RANDOM.normal(size=(12, 3)).astype(np.float32)
CHOSEN = RANDOM.integers(3, size=12)
SEVERAL = RANDOM.integers(2, size=(12, 3))
NUMBERS = RANDOM.normal(size=12).astype(np.float32)
CASES = {"single": (LOGITS, CHOSEN), "multi": (LOGITS, SEVERAL), "regression": (LOGITS[:, :1], NUMBERS)}


def tensors(name):
    logits, labels = CASES[name]
    return torch.from_numpy(logits), TARGETS[name].stack(list(labels))


def measured(target, *batches):
    metrics = target.metrics(3)
    for logits, labels in batches:
        metrics.update(target.predictions(logits), labels)
    return {name: value.item() for name, value in metrics.compute().items()}


def f1(predicted, true):
    """F1 of one label, from its definition: (rows,) of booleans each."""
    hits = (predicted & true).sum()
    return 2 * hits / max(predicted.sum() + true.sum(), 1)


# Loss


def test_the_loss_of_a_single_label_is_the_mean_negative_log_probability():
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    expected = -np.log(shares[np.arange(12), CHOSEN]).mean()
    assert SINGLE.loss(*tensors("single")).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_several_labels_is_the_mean_binary_cross_entropy():
    share = 1 / (1 + np.exp(-LOGITS))
    expected = -(SEVERAL * np.log(share) + (1 - SEVERAL) * np.log(1 - share)).mean()
    assert MULTI.loss(*tensors("multi")).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_a_number_is_the_mean_squared_error():
    expected = ((LOGITS[:, 0] - NUMBERS) ** 2).mean()
    assert SCORE.loss(*tensors("regression")).item() == pytest.approx(expected, rel=1e-5)


def test_a_model_that_knows_nothing_has_the_loss_ln_c():
    loss = SINGLE.loss(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]))
    assert loss.item() == pytest.approx(math.log(3))


# Metrics


def test_accuracy_and_macro_f1_of_a_single_label():
    best = LOGITS.argmax(axis=1)
    assert measured(SINGLE, tensors("single")) == pytest.approx(
        {"accuracy": (best == CHOSEN).mean(), "f1": np.mean([f1(best == label, label == CHOSEN) for label in range(3)])}
    )


def test_exact_match_and_macro_f1_of_several_labels():
    present, true = LOGITS > 0, SEVERAL > 0
    assert measured(MULTI, tensors("multi")) == pytest.approx(
        {
            "exact_match": (present == true).all(axis=1).mean(),
            "f1": np.mean([f1(present[:, label], true[:, label]) for label in range(3)]),
        }
    )


def test_mean_absolute_error_and_correlations_of_a_number():
    predicted = LOGITS[:, 0]
    ranks = [np.argsort(np.argsort(numbers)) for numbers in (predicted, NUMBERS)]
    assert measured(SCORE, tensors("regression")) == pytest.approx(
        {
            "mae": np.abs(predicted - NUMBERS).mean(),
            "pearson": np.corrcoef(predicted, NUMBERS)[0, 1],
            "spearman": np.corrcoef(*ranks)[0, 1],
        },
        rel=1e-4,
    )


def test_a_further_metric_stays_its_own_though_its_first_counts_agree_with_another_s():
    metrics = SINGLE.metrics(3)
    metrics.add_metrics({"top2": MulticlassAccuracy(3, top_k=2)})
    right, wrong = torch.eye(3), torch.eye(3) + 2 * torch.eye(3).roll(1, 1)
    for logits in (right, wrong):
        metrics.update(logits, torch.arange(3))
    assert {name: value.item() for name, value in metrics.compute().items()} == {"accuracy": 0.5, "f1": 0.5, "top2": 1}


@pytest.mark.parametrize("name", CASES)
def test_two_batches_measure_as_one_big_batch(name):
    logits, labels = tensors(name)
    parts = [(logits[:5], labels[:5]), (logits[5:], labels[5:])]
    assert measured(TARGETS[name], *parts) == pytest.approx(measured(TARGETS[name], (logits, labels)), abs=1e-5)


def test_perfect_predictions_give_one():
    hot = torch.nn.functional.one_hot(torch.from_numpy(CHOSEN), 3) * 20.0 - 10
    assert measured(SINGLE, (hot, SINGLE.stack(CHOSEN))) == {"accuracy": 1, "f1": 1}
    _, labels = tensors("multi")
    assert measured(MULTI, (labels * 20 - 10, labels)) == {"exact_match": 1, "f1": 1}
    _, numbers = tensors("regression")
    assert measured(SCORE, (numbers[:, None], numbers)) == pytest.approx({"mae": 0, "pearson": 1, "spearman": 1})


def test_worst_predictions_give_zero():
    hot = torch.nn.functional.one_hot(torch.from_numpy((CHOSEN + 1) % 3), 3) * 20.0 - 10
    assert measured(SINGLE, (hot, SINGLE.stack(CHOSEN))) == {"accuracy": 0, "f1": 0}
    _, labels = tensors("multi")
    assert measured(MULTI, (10 - labels * 20, labels)) == {"exact_match": 0, "f1": 0}
    _, numbers = tensors("regression")
    found = measured(SCORE, (-numbers[:, None], numbers))
    assert (found["pearson"], found["spearman"]) == pytest.approx((-1, -1))


def test_what_training_counts_is_what_validation_measures():
    logits, labels = tensors("single")
    assert SINGLE.hits(logits, labels)["accuracy"].item() == (LOGITS.argmax(axis=1) == CHOSEN).sum()
    logits, labels = tensors("multi")
    assert MULTI.hits(logits, labels)["exact_match"].item() == ((LOGITS > 0) == (SEVERAL > 0)).all(axis=1).sum()
    assert SCORE.hits(*tensors("regression")) == {}


@pytest.mark.parametrize("name", CASES)
def test_the_monitored_metric_is_one_that_is_measured(name):
    monitor, mode = TARGETS[name].monitor
    assert monitor.removeprefix("val/") in {"loss", *TARGETS[name].metrics(3)}
    assert mode in {"max", "min"}


# Labels


def test_a_single_label_is_encoded_as_its_index_and_decoded_with_its_probability():
    assert [SINGLE.encode(name, NAMES) for name in ("weather", "music")] == [2, 0]
    first, second = SINGLE.decode(torch.tensor([[0.0, 0.0, 5.0], [9.0, 0.0, 0.0]]), NAMES)
    assert (first.value, second.value) == ("weather", "music")
    assert first.score == pytest.approx(math.exp(5) / (math.exp(5) + 2))


def test_several_labels_may_be_a_list_or_joined():
    assert MULTI.encode("music|weather", NAMES) == MULTI.encode(["weather", "music"], NAMES) == [1.0, 0.0, 1.0]
    assert MULTI.encode([], NAMES) == [0.0, 0.0, 0.0]
    found = MULTI.decode(torch.tensor([[4.0, -4.0, 3.0], [-1.0, -1.0, -1.0]]), NAMES)
    assert [prediction.value for prediction in found] == [["music", "weather"], []]


def test_a_number_may_be_a_text_and_comes_back_as_a_number():
    assert [SCORE.encode(label, NAMES) for label in ("0.5", 2, -1e-3)] == [0.5, 2.0, -0.001]
    assert [prediction.value for prediction in SCORE.decode(torch.tensor([[0.25], [-3.0]]), NAMES)] == [0.25, -3.0]


def test_a_number_is_written_as_one_and_what_is_none_as_it_was_read():
    assert [SCORE.written(label) for label in ("0.50", "-2", 3.5)] == [0.5, -2.0, 3.5]
    assert [SCORE.written(label) for label in ("warm", "nan", None)] == ["warm", "nan", None]
    assert (SINGLE.written("2"), MULTI.written("a|b")) == ("2", "a|b")


def test_a_whole_number_may_be_the_name_of_a_label():
    assert SINGLE.names(3) == ["3"]


def test_labels_of_bfloat16_models_decode_like_those_of_others():
    assert [one.value for one in SINGLE.decode(torch.tensor([[0.0, 3.0, 0.0]], dtype=torch.bfloat16), NAMES)] == [
        "timer"
    ]


@pytest.mark.parametrize(
    "target, label, message",
    [
        (SINGLE, ["music"], "expected a label, got ['music']"),
        (SINGLE, 1.5, "expected a label, got 1.5"),
        (SINGLE, True, "expected a label, got True"),
        (SINGLE, "musik", "'musik' is not among the 3 labels of training; did you mean 'music'?"),
        (MULTI, 3, "expected labels as a list or joined by '|', got 3"),
        (MULTI, "music|rain", "'rain' is not among the 3 labels of training"),
        (SCORE, "warm", "expected a number as label (task.target is regression), got 'warm'"),
        (SCORE, ["1"], "expected a number as label (task.target is regression), got ['1']"),
        (SCORE, "nan", "expected a finite number as label, got 'nan'"),
        (SCORE, "-inf", "expected a finite number as label, got '-inf'"),
    ],
)
def test_a_label_that_cannot_be_read_says_what_was_expected(target, label, message):
    with pytest.raises(BadRow) as found:
        target.encode(label, NAMES)
    assert message in str(found.value)


def test_labels_are_counted_for_the_vocabulary():
    assert SINGLE.collect(["a", "b", "a"]) == {"a": 2, "b": 1}
    assert MULTI.collect(["a|b", ["b"], ""]) == {"a": 1, "b": 2}
    assert SCORE.collect([0.5, 1.5]) == {}


@pytest.mark.parametrize(
    "labels, because",
    [
        (["a", "a"], "the only label is 'a'"),
        ([], "no row has a label"),
        ([3.5, 1.0], "expected a label, got 3.5"),
    ],
)
def test_fewer_than_two_labels_cannot_be_learnt(labels, because):
    with pytest.raises(DataError) as found:
        SINGLE.collect(labels)
    assert found.value.because == because
    assert (found.value.exit_code, found.value.code) == (7, "data.one-class")
    assert "task.target" in found.value.fix


def test_where_no_row_has_a_label_it_is_said_where_one_stands():
    with pytest.raises(DataError) as found:
        SINGLE.collect([])
    assert found.value.fix.endswith("in a TSV file, a tab stands before the label")


def test_labels_that_are_mostly_one_are_told(caplog):
    SINGLE.collect(["music", "timer", "music ", "Timer", "timer"] * 2 + ["news"] * 2)
    assert caplog.messages == [
        f"labels that differ only in case, blanks or quotes are taken for different ones: {names}"
        for names in ("'music' (2×), 'music ' (2×)", "'timer' (4×), 'Timer' (2×)")
    ]


def test_labels_of_one_row_are_told_where_others_have_more(caplog):
    SINGLE.collect(["a", "a", "b", "c"])
    assert caplog.messages == ["2 of 3 labels have one row only: 'b', 'c'"]
    caplog.clear()
    SINGLE.collect(["a", "a", "b", "b", '"', "''", '"', "''"])
    SINGLE.collect(["a", "b"])
    assert caplog.messages == []


def test_labels_that_look_like_numbers_are_told_once(caplog):
    SINGLE.collect(["3.415", "1.5", "2", "3.415", "1.5", "2"])
    told = "3 labels are learnt as names, and look like numbers ('3.415', '1.5'): to learn numbers set %s"
    assert caplog.messages == [told % "task.target=regression"]
    caplog.clear()
    SINGLE.collect(["0", "1", "-1"] * 2)  # numbers of classes
    SINGLE.collect(["1.0", "news", "sport"] * 2)
    assert caplog.messages == []


@pytest.mark.parametrize("label", ["4.25", "-1", "1e3"])
def test_an_unseen_number_among_numbers_may_be_one_to_learn(label):
    with pytest.raises(BadRow) as caught:
        SINGLE.encode(label, Vocabulary({"labels": ["0.5", "1.25", "4.2"]}))
    assert str(caught.value) == (
        f"'{label}' is not among the 3 labels of training; these look like numbers: "
        "to learn numbers set task.target=regression"
    )


def test_an_unseen_number_among_names_is_a_name_like_any_other():
    with pytest.raises(BadRow, match="known are 'music', 'timer', 'weather'"):
        SINGLE.encode("7", NAMES)
    assert SINGLE.encode("7", Vocabulary({"labels": ["6", "7"]})) == 1


def test_a_correlation_of_rows_that_are_all_alike_is_nan_and_no_warning(recwarn):
    metrics = TARGETS["regression"].metrics(1)
    metrics.update(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 3.0, 3.0]))
    assert math.isnan(metrics.compute()["pearson"])
    assert list(recwarn) == []

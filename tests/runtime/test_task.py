from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.task import Context, Prediction, Task, uses_score
from scaffold.runtime.vocabulary import Vocabulary


@dataclass(frozen=True)
class Options:
    target: str = "single"
    max_length: int = 8


def test_a_context_comes_back_from_plain_data():
    tokenizer = train_tokenizer(["my card has not arrived"] * 2, 300)
    context = Context(Options(max_length=5), Vocabulary({"labels": ["a", "b"]}), tokenizer, {"num_labels": 2})
    again = Context.from_state(json.loads(json.dumps(context.state())), Options)
    assert (again.options, again.vocabulary, again.facts) == (
        Options(max_length=5),
        context.vocabulary,
        {"num_labels": 2},
    )
    assert again.processor("my card")["input_ids"] == tokenizer("my card")["input_ids"]


def test_a_context_may_have_no_processor():
    context = Context(Options(), Vocabulary({}))
    assert Context.from_state(context.state(), Options) == context


@dataclass(frozen=True)
class Scale:
    """A processor of plain data."""

    factor: float
    names: list[str]


def test_a_processor_that_is_no_tokenizer_comes_back_by_its_class():
    context = Context(Options(), Vocabulary({}), Scale(0.5, ["a"]))
    again = Context.from_state(json.loads(json.dumps(context.state())), Options, Scale)
    assert again.processor == Scale(0.5, ["a"])


def test_a_prediction_writes_what_it_has():
    assert Prediction("a").as_row() == {"prediction": "a"}
    assert Prediction("a", 0.5, ["a", "b"]).as_row() == {"prediction": "a", "score": 0.5, "candidates": ["a", "b"]}
    assert Prediction([], 0.0).as_row() == {"prediction": [], "score": 0.0}


def test_a_task_with_hooks_left_out_cannot_be_made():
    class Half(Task):
        @classmethod
        def texts(cls, sample):
            return []

    with pytest.raises(TypeError, match="encode"):
        Half()


def test_only_a_task_that_scores_rows_needs_decoding_in_validation():
    class Scoring(Task):
        @classmethod
        def score(cls, metrics, samples, predictions): ...

    class Silent(Task): ...

    class Below(Scoring): ...

    assert [uses_score(task) for task in (Task, Silent, Scoring, Below)] == [False, False, True, True]

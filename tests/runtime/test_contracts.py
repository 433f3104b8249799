from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch

from scaffold.runtime.contracts import (
    FAMILIES,
    IMAGE,
    QA,
    SEQUENCE,
    TOKENS,
    Contract,
    loss_violations,
    shape_violations,
    sizes_of,
    violations,
)
from scaffold.runtime.outputs import ClassificationOutput

SIZES = {"rows": 2, "labels": 3}


def output(logits=None, loss=None):
    return ClassificationOutput(
        logits=torch.zeros(2, 3) if logits is None else logits,
        loss=torch.tensor(1.0, requires_grad=True) if loss is None else loss,
    )


def test_an_output_that_keeps_the_contract_has_no_violation():
    assert violations(SEQUENCE, output(), SIZES) == []


@pytest.mark.parametrize(
    "found, expected",
    [
        (
            output(logits=torch.zeros(3, 3)),
            "Expected output.logits of shape (rows, labels) with rows = 2, labels = 3, got (3, 3).",
        ),
        (
            output(logits=torch.zeros(2, 5, 3)),
            "Expected output.logits of shape (rows, labels) with rows = 2, labels = 3, got (2, 5, 3).",
        ),
        (output(logits=[0.0, 1.0]), "Expected output.logits of shape (rows, labels), got list."),
        (
            ClassificationOutput(logits=torch.zeros(2, 3)),
            "Expected output.loss to be a scalar tensor when labels are given, got NoneType.",
        ),
        (output(loss=torch.ones(2)), "Expected output.loss to be a scalar, got shape (2,)."),
        (output(loss=torch.tensor(float("nan"))), "Expected output.loss to be finite, got nan."),
        (
            output(loss=torch.tensor(1.0)),
            "Expected output.loss to depend on the parameters, got one without a gradient: was it detached?",
        ),
    ],
)
def test_a_violation_says_what_was_expected_and_what_came(found, expected):
    assert violations(SEQUENCE, found, SIZES) == [expected]


def test_without_gradients_a_loss_needs_none():
    with torch.no_grad():
        assert violations(SEQUENCE, output(loss=torch.tensor(1.0)), SIZES) == []


def test_dimensions_of_the_same_name_have_the_same_size():
    contract = Contract(
        "spans", inputs=("input_ids",), outputs={"start": ("rows", "length"), "end": ("rows", "length")}
    )
    found = SimpleNamespace(start=torch.zeros(2, 7), end=torch.zeros(2, 6), loss=torch.tensor(1.0, requires_grad=True))
    assert violations(contract, found, {"rows": 2}) == [
        "Expected output.end of shape (rows, length) with rows = 2, length = 7, got (2, 6)."
    ]


def test_all_violations_are_reported_at_once():
    found = violations(SEQUENCE, ClassificationOutput(logits=torch.zeros(2, 4)), SIZES)
    assert len(found) == 2


class Named(NamedTuple):
    logits: torch.Tensor
    loss: torch.Tensor


@pytest.mark.parametrize("form", [lambda **fields: fields, Named, SimpleNamespace])
def test_a_dict_a_named_tuple_and_any_object_have_fields(form):
    found = form(logits=torch.zeros(2, 3), loss=torch.tensor(1.0, requires_grad=True))
    assert violations(SEQUENCE, found, SIZES) == []


@pytest.mark.parametrize("found", [torch.zeros(2, 3), (torch.zeros(2, 3), torch.tensor(1.0)), None])
def test_what_has_no_fields_is_named_by_its_type(found):
    expected = f"Expected an output with the fields logits, loss, got {type(found).__name__}."
    assert shape_violations(SEQUENCE, found, SIZES) == [expected]


def test_scores_are_floats():
    found = shape_violations(SEQUENCE, output(logits=torch.zeros(2, 3, dtype=torch.long)), SIZES)
    assert found == ["Expected output.logits to hold scores (floats), got int64."]


def test_a_loss_of_one_number_is_still_no_scalar():
    assert loss_violations(output(loss=torch.ones(1))) == ["Expected output.loss to be a scalar, got shape (1,)."]


def test_a_batch_shows_the_sizes_of_its_dimensions():
    batch = {
        "input_ids": torch.zeros(2, 7),
        "attention_mask": torch.ones(2, 7),
        "labels": torch.zeros(2, 4),
        "samples": [],
    }
    assert sizes_of(TOKENS, batch) == {"rows": 2, "length": 7, "words": 4}


def test_each_output_scores_the_target_in_its_place():
    assert QA.scores == {"start_positions": "start_logits", "end_positions": "end_logits"}


def test_an_input_may_have_another_name():
    first = IMAGE.inputs[0]
    renamed = IMAGE.renamed(first, "frames")
    assert renamed.inputs[0] == "frames"
    assert renamed.shapes["frames"] == IMAGE.shapes[first]


@pytest.mark.parametrize("contract", FAMILIES.values(), ids=FAMILIES)
def test_a_family_names_the_dimensions_of_all_that_its_batches_hold(contract):
    assert {*contract.inputs, *contract.targets, *contract.optional} <= set(contract.shapes)
    dimensions = {name for names in contract.outputs.values() for name in names}
    assert contract.uniform_over in dimensions
    assert contract.causal is None or contract.causal in contract.shapes

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from scaffold.runtime.contracts import SEQUENCE, Contract, violations
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

from __future__ import annotations

import torch

from scaffold.runtime.outputs import ClassificationOutput


def test_an_output_is_read_by_attribute_and_by_key():
    output = ClassificationOutput(logits=torch.zeros(2, 3), loss=torch.tensor(1.5))
    assert output.loss is output["loss"]
    assert dict(output).keys() == {"logits", "loss"}


def test_what_is_absent_is_none_and_no_key():
    output = ClassificationOutput(logits=torch.zeros(2, 3))
    assert output.loss is None
    assert "loss" not in output
    assert len(output.to_tuple()) == 1

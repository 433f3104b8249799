"""What a model gets wrong in `forward` is said before training begins, by file and line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scaffold.errors import ConfigError, ModelError
from scaffold.runtime import ClassificationOutput
from scaffold.runtime.training.trial import evaluating, try_forward


def refused(model, data):
    with pytest.raises(ModelError) as caught:
        try_forward(model, data.first_batch("validation"))
    assert caught.value.exit_code == 1
    assert caught.value.where.line
    return caught.value


def broken(made, forward, **more):
    """A model whose class has another forward."""
    model, data = made()
    model.__class__ = type("Broken", (type(model),), {"forward": forward, **more})
    return model, data


def test_a_sound_model_is_left_as_it_was(made):
    model, data = made()
    before = [part.training for part in model.modules()]
    try_forward(model, data.first_batch("validation"))
    assert [part.training for part in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_argument_that_the_batch_needs_is_named(made):
    def forward(self, input_ids, attention_mask):
        return ClassificationOutput()

    problem = refused(*broken(made, forward))
    assert "it has no argument labels" in problem.because
    assert "forward takes input_ids, attention_mask; a labelled batch holds input_ids" in problem.because


def test_an_argument_that_nothing_gives_is_named(made):
    def forward(self, input_ids, attention_mask, lengths, labels=None):
        return ClassificationOutput()

    assert "nothing gives lengths" in refused(*broken(made, forward)).because


def test_a_tensor_is_no_output(made):
    def forward(self, input_ids, attention_mask, labels=None):
        return torch.zeros(len(input_ids), 2)

    problem = refused(*broken(made, forward))
    assert "got Tensor" in problem.because
    assert problem.fix == "return ClassificationOutput(logits=…, loss=…) or another ModelOutput"


def test_logits_of_another_width_are_refused_before_they_train_silently(made):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = nn.Linear(1, 9)(input_ids[:, :1].float())
        return ClassificationOutput(logits=logits, loss=logits.sum())

    model, data = broken(made, forward)
    model.__class__.contract = type(model).contract.__class__("sequence", (), outputs={"logits": ("rows", "labels")})
    assert "labels = 2, got (" in refused(model, data).because


def test_a_plain_dict_is_no_output_as_its_entries_are_no_fields(made):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = torch.zeros(len(input_ids), 2)
        return {"logits": logits, "loss": logits.sum()}

    problem = refused(*broken(made, forward))
    assert problem.because == "Expected an output with fields, got a plain dict with the keys logits, loss"
    assert problem.fix == "return ClassificationOutput(logits=…, loss=…) or another ModelOutput"


def test_a_loss_that_is_missing_is_named(made):
    def forward(self, input_ids, attention_mask, labels=None):
        return ClassificationOutput(logits=torch.zeros(len(input_ids), 2))

    assert "output.loss" in refused(*broken(made, forward)).because


def test_every_part_returns_to_its_mode():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()))
    model[1].eval()
    with evaluating(model):
        assert not any(part.training for part in model.modules())
    assert [part.training for part in model.modules()] == [True, True, False, False]


def test_a_model_that_was_not_given_its_optim_conf_says_so(made):
    model, _ = made()
    model.optim_conf = {}
    with pytest.raises(ConfigError, match="has no optim_conf"):
        model.configure_optimizers()

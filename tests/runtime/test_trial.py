"""What a model gets wrong in `forward` is said before training begins, by file and line."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scaffold.errors import ConfigError, ModelError
from scaffold.runtime import ClassificationOutput, Contract
from scaffold.runtime.training.trial import choice_problems, evaluating, try_forward


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


def test_an_argument_that_is_called_like_an_output_is_mended_as_an_argument(made):
    def forward(self, input_ids, attention_mask, output_sizes, labels=None):
        return ClassificationOutput()

    problem = refused(*broken(made, forward))
    assert "nothing gives output_sizes" in problem.because
    assert problem.fix == "change the arguments of forward, or what collate puts into the batch"


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


SHAPE = "Expected output.predictions of shape (2,), as labels have, got"


@pytest.mark.parametrize(
    "predictions, because",
    [
        ([[0], [1]], f"{SHAPE} list."),
        (torch.zeros(2, 3), f"{SHAPE} (2, 3)."),
        (torch.zeros(2), "Expected output.predictions to hold the numbers of labels, got floats."),
        (torch.tensor([0, -1]), "Expected output.predictions from 0 to 2, got -1."),
        (torch.tensor([3, 0]), "Expected output.predictions from 0 to 2, got 3."),
    ],
)
def test_predictions_of_its_own_that_are_not_like_the_labels_are_named(predictions, because):
    output = ClassificationOutput(logits=torch.zeros(2, 3), predictions=predictions)
    assert choice_problems(output, torch.tensor([0, 2]), 3) == [because]


def test_predictions_of_its_own_count_for_nothing_where_labels_do():
    output = ClassificationOutput(logits=torch.zeros(1, 2, 3), predictions=torch.tensor([[1, -100]]))
    assert choice_problems(output, torch.tensor([[2, -100]]), 3) == []
    numbers = ClassificationOutput(logits=torch.zeros(2, 1), predictions=torch.tensor([0.5, 7.0]))
    assert choice_problems(numbers, torch.tensor([0.1, 0.2]), 1) == []
    assert choice_problems(ClassificationOutput(logits=torch.zeros(2, 3)), torch.tensor([0, 2]), 3) == []


def test_what_predictions_should_be_is_said_before_training(made):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = torch.zeros(len(input_ids), 2, requires_grad=True)
        return ClassificationOutput(logits=logits, predictions=logits, loss=logits.sum())

    model, data = broken(made, forward, contract=Contract("sequence", (), outputs={"logits": ("rows", "labels")}))
    problem = refused(model, data)
    assert problem.because.startswith("Expected output.predictions of shape (")
    assert problem.fix == (
        "return predictions as a tensor in the form of labels, padded with 0 where there is nothing to choose"
    )


def test_predictions_are_anything_where_the_task_does_not_read_them(made):
    def forward(self, input_ids, attention_mask, labels=None):
        logits = torch.zeros(len(input_ids), 2, requires_grad=True)
        return ClassificationOutput(logits=logits, predictions=["a text"], loss=logits.sum())

    model, data = broken(made, forward, contract=Contract("generation", ()))
    try_forward(model, data.first_batch("validation"))

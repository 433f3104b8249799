from __future__ import annotations

import numpy as np
import pytest
import torch

from scaffold.errors import ConfigError
from scaffold.runtime.training.trainer import quiet_trainer


def trainer(**arguments):
    return quiet_trainer(accelerator="cpu", devices=1, **arguments)


def validated(model, data):
    [found] = trainer().validate(model, data, verbose=False)
    return found


def by_hand(model, data):
    """Loss and accuracy of validation, a row at a time: windows weigh alike in the loss, rows in the accuracy."""
    losses, right = [], []
    for sample in data.rows("validation"):
        features = model.encode(sample, model.context, "validation")
        batch = model.collate(features, model.context, "validation", np.random.default_rng(0))
        with torch.no_grad():
            logits = model(**batch).logits.double()
        shares = torch.softmax(logits, dim=-1).numpy()
        label = model.vocabulary.index("labels", sample.label)
        losses.extend(-np.log(shares[:, label]))
        right.append(shares.sum(axis=0).argmax() == label)
    return {"val/loss": np.mean(losses), "val/accuracy": np.mean(right)}


def test_batches_of_unequal_size_weigh_by_their_items(made):
    model, data = made(data__batch_size=3)
    sizes = [len(batch["labels"]) for batch in data.val_dataloader()]
    assert len(set(sizes)) > 1
    assert validated(model, data) == pytest.approx(by_hand(model.eval(), data), rel=1e-5)


def test_many_batches_measure_as_one_big_batch(made):
    model, data = made(data__batch_size=2)
    whole, one_batch = made(data__batch_size=100)
    assert len(one_batch.val_dataloader()) == 1
    assert validated(model, data) == pytest.approx(validated(whole, one_batch), rel=1e-5)


def test_a_batch_of_validation_holds_whole_rows_and_says_which_feature_is_whose(made):
    _, data = made(data__batch_size=4)
    for batch in data.val_dataloader():
        owners = batch.owners if batch.owners is not None else np.arange(len(batch.samples))
        lengths = [-(-len(sample.text.split()) // 3) for sample in batch.samples]
        assert np.bincount(owners).tolist() == lengths
        assert batch["labels"].tolist() == [["good", "poor"].index(batch.samples[place].label) for place in owners]
        assert [data.origin("validation", row).line for row in batch.rows] == [one.origin.line for one in batch.samples]


def test_rows_that_are_too_short_are_left_out_of_training_and_said(made, caplog):
    _, data = made(task__at_least=4)
    assert sorted(set(data.encoded("train").store.owners % 7)) == [0, 4, 6]
    assert "train: 16 of 28 rows are shorter than task.min_length: left out" in caplog.text
    assert len(set(data.encoded("validation").store.owners)) == 7


def test_training_logs_the_average_of_its_loss_and_learns(made):
    model, data = made()
    before = validated(model, data)["val/loss"]
    fitted = trainer(max_epochs=12)
    fitted.fit(model, data)
    assert fitted.callback_metrics["train/loss"] < 0.9 * before
    assert validated(model, data)["val/loss"] < before


def test_the_metrics_of_one_pass_do_not_reach_the_next(made):
    model, data = made()
    assert validated(model, data) == validated(model, data)


def test_a_model_made_by_calling_its_class_has_no_context(made):
    model, data = made()
    bare = type(model)(data.backbone, data.context.vocabulary, {}, num_labels=2)
    with pytest.raises(ConfigError, match="WindowModel has no context yet") as found:
        bare.context  # noqa: B018
    assert "load_model(path)" in found.value.fix


def test_hyperparameters_that_are_not_plain_data_are_left_out_of_checkpoints(made):
    model, _ = made(model__notes={"tried": [1, 2.5, None, "ü"]}, model__size=8)
    assert "backbone" in model.hparams
    checkpoint = {"hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    assert checkpoint["hyper_parameters"] == {
        "optim_conf": {"_target_": "torch.optim.AdamW", "lr": 2e-3},
        "num_labels": 2,
        "size": 8,
        "notes": {"tried": [1, 2.5, None, "ü"]},
    }


def test_transformers_trainer_is_told_to_average_over_accumulated_batches(made):
    assert made()[0].accepts_loss_kwargs is False


def test_the_first_batch_brings_its_samples_even_of_training(made):
    _, data = made()
    batch = data.first_batch("train")
    assert all(sample.text for sample in batch.samples)
    assert next(iter(data.train_dataloader())).samples == []


def test_rows_are_scored_by_the_pass_that_was_measured(made):
    model, data = made()
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    validated(model, data)
    assert len(passes) == len(data.val_dataloader())


def test_predictions_need_no_gradient_whoever_asks_for_them(made):
    model, data = made()
    seen = []
    model.infer = lambda batch: seen.append(torch.is_grad_enabled()) or type(model).infer(model, batch)
    rows = data.first_batch("validation").with_samples()
    del rows["labels"]
    assert len(list(model.batch_predict(**rows))) == len(rows["samples"])
    assert seen == [False]

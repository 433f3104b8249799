from __future__ import annotations

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from scaffold.errors import ConfigError
from scaffold.runtime.training.optim import TorchFactory, build_optimizers, rate_at

SCHEDULES = "Expected constant, linear, cosine, a registered scheduler or null, got 'cosin'"
ADAMW = {"_target_": "torch.optim.AdamW", "lr": 0.1, "weight_decay": 0.5}


class Model(pl.LightningModule):
    def __init__(self, optim_conf=None):
        super().__init__()
        self.embeddings = nn.Embedding(4, 2)
        self.norm = nn.LayerNorm(2)
        self.head = nn.Linear(2, 1)
        self.optim_conf = optim_conf
        self.rates = []

    def training_step(self, batch, index):
        self.rates.append(self.optimizers().param_groups[0]["lr"])
        return self.head(self.norm(self.embeddings(batch))).square().mean()

    def configure_optimizers(self):
        return build_optimizers(self.optim_conf, self)


def fit(optim_conf, rows=8, **arguments):
    model = Model(optim_conf)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 2, **arguments},
    )
    trainer.fit(model, DataLoader(torch.zeros(rows, dtype=torch.long), batch_size=1))
    return model, trainer


def names_of(model, group):
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    return sorted(own[id(parameter)] for parameter in group["params"])


def test_weight_decay_spares_parameters_of_one_dimension():
    model = Model()
    decayed, bare = TorchFactory(ADAMW).build(model).param_groups
    assert names_of(model, decayed) == ["embeddings.weight", "head.weight"]
    assert names_of(model, bare) == ["head.bias", "norm.bias", "norm.weight"]
    assert (decayed["weight_decay"], bare["weight_decay"]) == (0.5, 0.0)


def test_weight_decay_spares_parameters_by_name_too():
    model = Model()
    decayed, bare = TorchFactory(ADAMW, no_decay=["*embeddings*"]).build(model).param_groups
    assert names_of(model, decayed) == ["head.weight"]
    assert "embeddings.weight" in names_of(model, bare)


def test_a_pattern_that_names_no_parameter_is_refused():
    with pytest.raises(ConfigError, match=r"no parameter is called '\*embedings\*'") as caught:
        TorchFactory(ADAMW, no_decay=["*embedings*"]).build(Model())
    assert "embeddings.weight" in caught.value.because


def test_frozen_parameters_are_left_out():
    model = Model()
    model.embeddings.requires_grad_(False)
    groups = TorchFactory(ADAMW).build(model).param_groups
    assert "embeddings.weight" not in names_of(model, groups[0])


def test_a_model_that_is_wholly_frozen_is_refused():
    with pytest.raises(ConfigError, match="nothing to train") as caught:
        TorchFactory(ADAMW).build(Model().requires_grad_(False))
    assert "frozen" in caught.value.because


@pytest.mark.parametrize("name", ["AdamW", "Adam", "Adafactor", "Adagrad", "SGD", "RMSprop"])
def test_every_optimizer_of_torch_takes_a_step(name):
    model = Model()
    before = model.head.weight.clone()
    optimizer = TorchFactory({"_target_": f"torch.optim.{name}", "lr": 0.1}).build(model)
    model.head(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert not torch.equal(before, model.head.weight)


@pytest.mark.parametrize(
    "options, fused",
    [({}, True), ({"fused": False}, False), ({"foreach": True}, None), ({"_target_": "torch.optim.SGD"}, None)],
)
def test_the_fused_implementation_is_used_where_nothing_speaks_against_it(options, fused):
    optimizer = TorchFactory({"_target_": "torch.optim.AdamW", "lr": 0.1, **options}).build(Model())
    assert optimizer.param_groups[0]["fused"] == fused


@pytest.mark.parametrize(
    "kind, final, expected",
    [
        ("linear", 0.0, [0, 0.5, 1, 0.75, 0.5, 0.25, 0, 0]),
        ("linear", 0.2, [0, 0.5, 1, 0.8, 0.6, 0.4, 0.2, 0.2]),
        ("cosine", 0.0, [0, 0.5, 1, 0.853553, 0.5, 0.146447, 0, 0]),
        ("constant", 0.0, [0, 0.5, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_the_rate_rises_in_the_warmup_and_falls_to_the_final_one(kind, final, expected):
    rates = [rate_at(step, kind=kind, warmup=2, steps=6, final=final) for step in range(8)]
    assert rates == pytest.approx(expected, abs=1e-6)


def test_a_rate_without_warmup_begins_at_the_top():
    assert rate_at(0, kind="linear", warmup=0, steps=4, final=0) == 1.0


def test_a_warmup_that_lasts_to_the_end_never_falls():
    assert [rate_at(step, kind="cosine", warmup=4, steps=4, final=0) for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("warmup, first", [(0.25, [0, 0.025, 0.05, 0.075, 0.1]), (2, [0, 0.05, 0.1])])
def test_the_schedule_follows_the_steps_that_the_trainer_will_take(warmup, first):
    conf = {"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, "schedule": "linear", "warmup": warmup}
    model, trainer = fit(conf)
    assert model.rates[: len(first)] == pytest.approx(first)
    assert len(model.rates) == trainer.global_step == 16
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)


def test_the_schedule_counts_optimizer_steps_not_batches():
    conf = {"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, "schedule": "linear"}
    model, trainer = fit(conf, accumulate_grad_batches=4)
    assert trainer.global_step == 4
    assert sorted(set(model.rates), reverse=True) == pytest.approx([0.1, 0.075, 0.05, 0.025])


def test_without_a_schedule_the_rate_stays():
    model, _ = fit({"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, "schedule": None})
    assert set(model.rates) == {0.1}


def test_optim_conf_may_name_the_optimizer_itself():
    model, trainer = fit(ADAMW)
    assert set(model.rates) == {0.1}
    assert trainer.optimizers[0].param_groups[0]["weight_decay"] == 0.5


def test_a_schedule_without_an_end_is_refused():
    conf = {"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, "schedule": "cosine"}
    with pytest.raises(ConfigError, match="when training ends"):
        fit(conf, max_epochs=-1)


@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
def test_gradients_are_clipped_under_every_precision(precision):
    _, trainer = fit(
        {"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW}, precision=precision, gradient_clip_val=1.0
    )
    assert trainer.global_step == 16


def test_a_warmup_that_is_longer_than_the_training_is_told(caplog):
    fit({"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, "schedule": "linear", "warmup": 2000})
    assert "optim.warmup=2000 is more than the 16 steps of training: lr is never reached" in caplog.text


@pytest.mark.parametrize(
    "options, key, what",
    [
        ({"schedule": "cosin"}, "optim.schedule", SCHEDULES),
        ({"warmup": -1}, "optim.warmup", "Expected a number of 0 or more, got -1"),
        ({"warmup": "many"}, "optim.warmup", "Expected a number of 0 or more, got 'many'"),
        ({"final": 2}, "optim.final", "Expected a number of 0 to 1, got 2"),
        ({"final": float("nan")}, "optim.final", "Expected a number of 0 to 1, got nan"),
        ({"warm": 1}, "optim.warm", "TorchFactory takes no argument 'warm'"),
        ({"optimizer": {**ADAMW, "lr": -1}}, "optim.optimizer", "AdamW refuses its arguments"),
        ({"optimizer": {**ADAMW, "lr": "abc"}}, "optim.optimizer.lr", "Expected a number, got 'abc'"),
        ({"optimizer": {**ADAMW, "lr": float("inf")}}, "optim.optimizer.lr", "Expected a finite number, got inf"),
        ({"optimizer": {**ADAMW, "beta": 1}}, "optim.optimizer.beta", "AdamW takes no argument 'beta'"),
        ({"optimizer": {"lr": 1}}, "optim.optimizer._target_", "the target None is not allowed"),
        ({"optimizer": {"_target_": "torch.nn.Linear"}}, "optim.optimizer", "Linear is not an optimizer"),
    ],
)
def test_a_wrong_setting_names_its_key(options, key, what):
    with pytest.raises(ConfigError) as caught:
        build_optimizers({"_target_": "scaffold.runtime.TorchFactory", "optimizer": ADAMW, **options}, Model())
    assert (caught.value.where.key, caught.value.what) == (key, what)


def test_what_cannot_make_optimizers_is_refused():
    with pytest.raises(ConfigError, match="makes no optimizer"):
        build_optimizers({"_target_": "transformers.GenerationConfig"}, Model())

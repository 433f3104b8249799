"""Oumi's guide to a custom model and its design note, step by step on a generated project: each has its equivalent."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scaffold.errors import ModelError

# the guide's own test; only its import is changed
GUIDE_TEST = '''
import pytest
import torch
from mymodel.model import Mymodel as MLPEncoder

def test_mlp_encoder_forward():
    """Test forward pass of MLPEncoder."""
    # Initialize model
    model = MLPEncoder(input_dim=100, hidden_dim=32, output_dim=10)

    # Create dummy inputs
    batch_size, seq_len = 16, 8
    input_ids = torch.randint(0, 100, (batch_size, seq_len))
    labels = torch.randint(0, 10, (batch_size,))

    # Test forward pass without labels
    outputs = model(input_ids=input_ids)
    assert "logits" in outputs
    assert outputs["logits"].shape == (batch_size, 10)

    # Test forward pass with labels
    outputs = model(input_ids=input_ids, labels=labels)
    assert "loss" in outputs
    assert outputs["loss"].shape == ()
'''

# the guide's file: what is registered has another name here, and the data is the project's
GUIDE_CONFIG = """
model:
  model_name: "mymodel"
  model_kwargs:
    input_dim: 1000
    hidden_dim: 256
    output_dim: 5
  dtype: "float32"
  device_map: "auto"

data:
  train:
    datasets:
      - dataset_path: "data/train.tsv"

training:
  output_dir: "outputs/mlp_run"
  num_train_epochs: 3
  learning_rate: 1e-4
  per_device_train_batch_size: 32
"""

# the guide's class as printed: its logits are per token, and its labels per text
UNPOOLED = """
import torch.nn as nn
from scaffold.runtime import BaseModel, ClassificationOutput, register
from torch.nn import functional as F


@register("MLPEncoder")
class MLPEncoder(BaseModel):
    def __init__(self, input_dim: int = 768, hidden_dim: int = 128, output_dim: int = 10):
        super().__init__()
        self.embedding = nn.Embedding(input_dim, hidden_dim)
        self.fc1 = nn.Linear(hidden_dim, hidden_dim)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_dim, output_dim)

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.fc2(self.relu(self.fc1(self.embedding(input_ids))))
        loss = None if labels is None else logits.sum()
        return ClassificationOutput(logits=logits, loss=loss)

    @property
    def criterion(self):
        return F.cross_entropy
"""


@pytest.fixture
def project(new, opened) -> Path:
    return opened(new("encoder"))


@pytest.fixture
def data(project):
    """Return the project's data."""
    from scaffold.runtime import DataModule, compose, model_class

    config = compose("conf")
    return DataModule(model_class(config), config)


@pytest.fixture
def model(data):
    from scaffold.runtime import registered

    torch.manual_seed(0)
    return registered("mymodel")(input_dim=data.context.facts["num_tokens"], output_dim=5)


def test_the_guides_own_test_passes(project):
    names: dict[str, object] = {}
    exec(GUIDE_TEST, names)
    names["test_mlp_encoder_forward"]()


# Using the model


@pytest.mark.parametrize("name", ["mymodel", "MyModel", "my-model", "MY_MODEL"])
def test_a_model_is_built_by_its_registered_name(project, name):
    from scaffold.runtime import ModelParams, build_model

    model_params = ModelParams(
        model_name=name,
        model_kwargs={"input_dim": 1000, "hidden_dim": 256, "output_dim": 10},
        dtype="float32",
        device_map="auto",
    )
    model = build_model(model_params=model_params)
    assert type(model) is import_module("mymodel.model").Mymodel
    assert (model.embedding.weight.shape, model.fc2.out_features) == ((1000, 256), 10)


def test_a_training_config_trains(project):
    from scaffold.runtime import TrainingConfig

    Path("train_config.yaml").write_text(GUIDE_CONFIG, encoding="utf-8")
    config = TrainingConfig.from_yaml("train_config.yaml", "training.num_train_epochs=1").compose("conf")
    metrics = import_module("train").train(config)
    assert metrics["train/epochs"] == 1
    composed = Path("outputs/mlp_run/config.yaml").read_text(encoding="utf-8")
    for line in ("input_dim: 1000", "hidden_dim: 256", "dropout: 0.3", "lr: 0.0001", "max_epochs: 1", "batch_size: 32"):
        assert f"{line}\n" in composed
    assert sorted(path.name for path in Path("outputs/mlp_run/checkpoints").glob("*.ckpt")) == [
        "best.ckpt",
        "last.ckpt",
    ]


def test_another_registered_model_takes_only_its_own_arguments(project):
    from scaffold.runtime import TrainingConfig, compose

    Path("mymodel/tiny.py").write_text(UNPOOLED, encoding="utf-8")
    text = "model: {model_name: mlp-encoder, model_kwargs: {input_dim: 9, output_dim: 2}}"
    Path("train_config.yaml").write_text(text, encoding="utf-8")
    config = TrainingConfig.from_yaml("train_config.yaml").compose("conf", "seed=3")
    assert config.model.model_kwargs == {"input_dim": 9, "output_dim": 2}
    assert (config.seed, compose("conf").model.model_kwargs.hidden_dim) == (3, 256)


def test_the_standard_loop_trains(model, data):
    optimizer = torch.optim.Adam(model.parameters())
    losses = []
    for _ in range(3):
        for batch in data.train_dataloader():
            optimizer.zero_grad()
            outputs = model(**batch)
            loss = outputs["loss"]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[-1] < losses[0]


# The design note


def test_every_object_of_the_design_notes_loop_is_there(model, data):
    dataset = data.encoded("train").store  # map-style: an item for each row
    assert set(dataset[0]) >= {"input_ids", "labels"}
    optimizer = torch.optim.Adam(model.parameters())
    before = model.fc2.weight.clone()
    for batch in data.train_dataloader():
        optimizer.zero_grad()
        batch = batch.to(torch.device("cpu"))
        outputs = model(**batch)
        loss = outputs.loss
        loss.backward()
        optimizer.step()
    assert not torch.equal(model.fc2.weight, before)


def test_the_model_trains_under_transformers_own_trainer(model, data, tmp_path):
    from transformers import Trainer, TrainingArguments

    rows = [data.task.collate([features], data.context, "train", None) for features in data.encoded("train").store]
    dataset = [{key: value[0] for key, value in row.items()} for row in rows[:64]]
    training_args = TrainingArguments(
        output_dir=str(tmp_path / "results"),
        num_train_epochs=2,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=64,
        warmup_steps=5,
        weight_decay=0.01,
        logging_steps=4,
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )

    def collate(rows):
        padded = {key: [row[key] for row in rows] for key in rows[0]}
        labels = torch.stack(padded.pop("labels"))
        pad = torch.nn.utils.rnn.pad_sequence
        return {key: pad(value, batch_first=True) for key, value in padded.items()} | {"labels": labels}

    trainer = Trainer(
        model=model, args=training_args, train_dataset=dataset, eval_dataset=dataset, data_collator=collate
    )
    trainer.train()
    assert trainer.state.global_step == 8
    assert trainer.evaluate()["eval_loss"] > 0


@pytest.mark.parametrize("accumulated", [1, 4])
def test_transformers_trainer_does_not_scale_the_loss_of_a_base_model(model, accumulated, tmp_path):
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=str(tmp_path), gradient_accumulation_steps=accumulated, use_cpu=True, report_to="none"
    )
    assert Trainer(model=model, args=arguments).model_accepts_loss_kwargs is False


# Where the guide as printed goes wrong


def test_logits_for_each_token_are_named_before_training(project):
    from scaffold.runtime import compose

    Path("mymodel/printed.py").write_text(UNPOOLED, encoding="utf-8")
    with pytest.raises(ModelError) as problem:
        import_module("train").train(compose("conf", "model.model_name=MLPEncoder", "~model.model_kwargs.dropout"))
    assert "MLPEncoder.forward does not keep the contract of its task [mymodel/printed.py:" in str(problem.value)
    assert "Expected output.logits of shape (rows, labels)" in str(problem.value)


# The registry


def test_what_is_registered_is_listed(project, monkeypatch, capsys):
    from scaffold.runtime.__main__ import main

    monkeypatch.setattr(sys, "argv", ["scaffold.runtime", "registered"])
    main()
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["model", "mymodel", "mymodel.model.Mymodel", "mymodel/model.py:11"] in words


def test_a_registered_optimizer_and_callback_go_through_the_config(project):
    from scaffold.runtime import compose

    Path("mymodel/parts.py").write_text(PARTS, encoding="utf-8")
    text = "defaults: [adamw]\noptimizer:\n  _target_: ${registered:slow-adam,optimizer}\n"
    Path("conf/optim/slow.yaml").write_text(text, encoding="utf-8")
    text = "defaults: [default]\ncallbacks:\n  - _target_: ${registered:steps,callback}\n"
    Path("conf/trainer/counted.yaml").write_text(text, encoding="utf-8")
    import_module("train").train(compose("conf", "optim=slow", "trainer=counted", "trainer.max_epochs=1"))
    parts = import_module("mymodel.parts")
    assert parts.SlowAdam.made == 1
    assert parts.Steps.seen > 0


PARTS = """
import lightning.pytorch as pl
import torch
from scaffold.runtime import register


@register("slow-adam", "optimizer")
class SlowAdam(torch.optim.AdamW):
    made = 0

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0):
        super().__init__(params, lr=lr, betas=betas, weight_decay=weight_decay)
        SlowAdam.made += 1


@register("steps", "callback")
class Steps(pl.Callback):
    seen = 0

    def on_train_batch_end(self, *_):
        Steps.seen += 1
"""

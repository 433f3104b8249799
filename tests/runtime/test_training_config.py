"""The one file of model, data and training: typed, with suggestions, and laid over the project's config."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from scaffold.errors import ConfigError
from scaffold.runtime import TrainingConfig

TEXT = """
model:
  model_name: mlp-encoder
  model_kwargs: {input_dim: 100, hidden_dim: 32}
  dtype: float32
data:
  train:
    datasets:
      - dataset_path: rows/train.tsv
training:
  num_train_epochs: 3
  learning_rate: 1e-4
"""


@pytest.fixture
def written(tmp_path):
    def write(text: str = TEXT) -> Path:
        path = tmp_path / "train_config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_is_read_with_its_types(written):
    config = TrainingConfig.from_yaml(written())
    assert config.model.model_kwargs == {"input_dim": 100, "hidden_dim": 32}
    assert config.data.train.datasets[0].dataset_path == "rows/train.tsv"
    assert (config.training.learning_rate, config.training.seed) == (1e-4, None)
    with pytest.raises(FrozenInstanceError):
        config.training = None


def test_overrides_change_single_values(written):
    overrides = ("training.learning_rate=0.1", "model.model_kwargs.hidden_dim=8")
    config = TrainingConfig.from_yaml(written(), *overrides, "data.train.datasets[0].dataset_path=other.tsv")
    assert config.training.learning_rate == 0.1
    assert config.model.model_kwargs == {"input_dim": 100, "hidden_dim": 8}
    assert config.data.train.datasets[0].dataset_path == "other.tsv"


def test_what_is_written_is_read_again(written, tmp_path):
    config = TrainingConfig.from_yaml(written())
    config.to_yaml(tmp_path / "again.yaml")
    assert TrainingConfig.from_yaml(tmp_path / "again.yaml") == config


@pytest.mark.parametrize(
    "override, message",
    [
        ("training.learning_rat=1", "did you mean learning_rate?"),
        ("modle.model_name=x", "did you mean model?"),
        ("model.model_kwarg=x", "did you mean model_kwargs?"),
        ("training.num_train_epochs=many", "training.num_train_epochs cannot be 'many'"),
        ("training.num_train_epochs=0", "training.num_train_epochs cannot be 0"),
        ("model.dtype=float8", "expected float32 or float64 or bfloat16 or float16"),
        ("data.train=rows.tsv", "data.train cannot be 'rows.tsv'"),
        ("model.torch_dtype_str=float32", "use dtype"),
        ("training.trainer_type=OUMI", "use train.py, train_hf.py or train_loop.py"),
        ("model.trust_remote_code=true", "a registered model is code of this project"),
        ("training.seed", "'training.seed' is not an override"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_what_was_meant(written, override, message):
    with pytest.raises(ConfigError, match=message) as problem:
        TrainingConfig.from_yaml(written(), override)
    assert problem.value.exit_code == 2


@pytest.mark.parametrize("text", ["", "model: [", "- model", "training: {seed: 1}"])
def test_a_file_that_is_no_config_is_a_config_error(written, text):
    with pytest.raises(ConfigError):
        TrainingConfig.from_yaml(written(text))


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no file"):
        TrainingConfig.from_yaml(tmp_path / "none.yaml")

"""What generated projects import; every name here is a promise and is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scaffold.runtime.imports import collector_paused, interruptible

_HOMES = {
    "AttentionMaxPool": "encoders.pooling",
    "Backbone": "encoders.backbones",
    "BadRow": "samples",
    "BaseModule": "module",
    "Batch": "batch",
    "ClassificationOutput": "outputs",
    "Context": "task",
    "Contract": "contracts",
    "DataModule": "data",
    "Prediction": "task",
    "Run": "training.run",
    "Stage": "task",
    "TARGETS": "targets",
    "Target": "targets",
    "Sample": "samples",
    "Task": "task",
    "TorchFactory": "training.optim",
    "Vocabulary": "vocabulary",
    "build": "recipe",
    "build_trainer": "training.trainer",
    "compose": "config.objects",
    "encode_text": "text",
    "entry_point": "console",
    "instantiate": "config.objects",
    "load_model": "recipe",
    "locate": "config.objects",
    "max_pool": "encoders.pooling",
    "mean_pool": "encoders.pooling",
    "model_class": "recipe",
    "pad": "features",
    "pad_inputs": "text",
    "predict": "prediction",
    "violations": "contracts",
}

__all__ = ["contracts", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name == "contracts":
        return import_module("scaffold.runtime.contracts")
    if name not in _HOMES:
        raise AttributeError(f"module 'scaffold.runtime' has no attribute {name!r}")
    with interruptible(), collector_paused():
        value = getattr(import_module(f"scaffold.runtime.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

"""What generated projects import; every name here is a promise and is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from scaffold.runtime.imports import collector_paused, interruptible

_HOMES = {
    "Answer": "answers",
    "AnswerOptions": "answering",
    "AnswerSample": "squad",
    "AnswerTask": "answering",
    "AttentionMaxPool": "encoders.pooling",
    "augment": "images.augmentation",
    "Backbone": "encoders.backbones",
    "BadRow": "samples",
    "BaseModel": "plain.base_model",
    "BaseModule": "module",
    "Batch": "batch",
    "build": "recipe",
    "build_model": "plain.model_params",
    "build_optimizer": "training.optim",
    "build_trainer": "training.trainer",
    "ClassificationOutput": "outputs",
    "compose": "config.objects",
    "Context": "task",
    "Contract": "contracts",
    "DataModule": "data",
    "decoder_inputs": "generation",
    "encode_target": "generation",
    "encode_text": "text",
    "encode_windows": "windows",
    "encode_words": "words",
    "entry_point": "console",
    "Format": "reading.formats",
    "generate": "generation",
    "GenerationOutput": "outputs",
    "ImageFile": "images.sources",
    "ImageNormaliser": "images.normaliser",
    "ImageReport": "images.report",
    "instantiate": "config.objects",
    "LabelOptions": "labelling",
    "LabelTask": "labelling",
    "Line": "reading.lines",
    "load_model": "recipe",
    "max_pool": "encoders.pooling",
    "mean_pool": "encoders.pooling",
    "model_class": "recipe",
    "ModelParams": "plain.model_params",
    "pad": "features",
    "pad_inputs": "text",
    "pool_words": "words",
    "predict": "prediction",
    "Prediction": "task",
    "QAOutput": "outputs",
    "register": "plain.registry",
    "register_format": "reading.formats",
    "registered": "plain.registry",
    "Report": "training.reports",
    "Run": "training.run",
    "RunRecorder": "training.recorder",
    "RunTrainer": "training.hf_trainer",
    "Sample": "samples",
    "Seq2SeqOptions": "seq2seq",
    "Seq2SeqTask": "seq2seq",
    "set_languages": "generation",
    "SquadJson": "squad",
    "Stage": "task",
    "TagOptions": "tagging",
    "TagTask": "tagging",
    "TARGETS": "targets",
    "Task": "task",
    "TextOptions": "text",
    "TorchFactory": "training.optim",
    "TrainingConfig": "plain.training_config",
    "violations": "contracts",
    "Vocabulary": "vocabulary",
    "WrappedModule": "plain.wrapped",
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

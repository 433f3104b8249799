"""Models from a config section, and models from a checkpoint alone: both follow a recipe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf
from transformers import PreTrainedModel

from scaffold.errors import ArtefactError, ConfigError, RefusedError, Where, listed, shown
from scaffold.runtime.config.arguments import check_arguments, parameters_of
from scaffold.runtime.config.objects import locate, plain, refuse_environment
from scaffold.runtime.config.settings import read_values
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.plain.registry import target_of
from scaffold.runtime.task import Context, Task
from scaffold.runtime.training import checkpoints

OmegaConf.register_new_resolver("registered", target_of, replace=True)  # _target_: ${registered:my-adam,optimizer}


@dataclass(frozen=True)
class Recipe:
    """All that makes a model again besides its weights, as plain data in every checkpoint."""

    target: str
    arguments: Mapping[str, Any]
    backbone: Backbone | None
    context: Context

    def state(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return {
            "target": self.target,
            "arguments": dict(self.arguments),
            "backbone": self.backbone.state() if self.backbone else None,
            "context": self.context.state(),
        }


def model_class(config: DictConfig) -> type[Any]:
    """Return the class that `conf/model` names; the data, the model and prediction all ask it for the task's hooks."""
    return _checked_class(config.model.get("_target_"), "model._target_")


def build(config: DictConfig, context: Context, backbone: Backbone | None = None) -> pl.LightningModule:
    """Make the model of `config.model`.

    The constructor gets its arguments by name from the section, and of backbone, vocabulary and context those that it
    names and the section leaves out; `${fact:num_labels}` and the like stand for what the data says.

    Errors: ConfigError for a target that is not allowed or has no such argument, and for values from the environment,
    which a checkpoint would keep.
    """
    refuse_environment(config, "model")
    backbone = backbone.unbuilt() if backbone else None
    OmegaConf.register_new_resolver("fact", lambda name: _fact(context, name), replace=True)
    arguments = {key: value for key, value in plain(config, "model").items() if not key.startswith("_")}
    cls = model_class(config)
    model = _construct(cls, read_values(cls, arguments, "model"), context, backbone)
    _wake(model)
    return model


def load_model(path: str | Path, map_location: Any = "cpu", allow: Iterable[str] = ()) -> pl.LightningModule:
    """Load a model from a checkpoint, or a run folder's best one, ready for prediction.

    allow: packages that may hold the model's class, besides those in the current folder; they must be importable.

    Errors: ArtefactError when the file is damaged or holds no model of this runtime, RefusedError when the code no
    longer fits it.
    """
    path = Path(path)
    if (path / "checkpoints").is_dir():  # a run folder
        path = path / "checkpoints" / "best.ckpt"
    checkpoint = checkpoints.load(path, map_location)
    return restore(checkpoint, path, allow).eval()


def restore(checkpoint: Mapping[str, Any], path: str | Path, allow: Iterable[str] = ()) -> pl.LightningModule:
    """Make the model that a loaded checkpoint describes, with its weights."""
    state = checkpoint.get("scaffold")
    if not isinstance(state, Mapping):
        raise ArtefactError(
            f"{path} holds no model of this runtime",
            because="its `scaffold` entry is missing: it was written by another program",
            fix="give a checkpoint from a run folder, such as runs/latest/checkpoints/best.ckpt",
            where=Where(file=str(path)),
        )
    cls = _checked_class(state["target"], "", allow)
    try:
        context = Context.from_state(state["context"], cls.options_type, cls.processor_type)
        backbone = Backbone.from_state(state["backbone"], context.processor) if state["backbone"] else None
        model = _construct(cls, cls.restored_arguments(state["arguments"]), context, backbone)
    except (ConfigError, TypeError) as error:
        raise _outgrown(path, error) from error
    load_weights(model, checkpoint["state_dict"], path)
    return model


def _outgrown(path: str | Path, error: Exception) -> RefusedError:
    return RefusedError(
        f"{path} no longer fits the code",
        because=f"the code has changed since it was saved: {getattr(error, 'what', error)}",
        fix="go back to the code that was trained (manifest.json names its commit), or train again",
        where=Where(file=str(path)),
        code="refused.checkpoint-code",
    )


def _construct(
    cls: type[Any], arguments: Mapping[str, Any], context: Context, backbone: Backbone | None
) -> pl.LightningModule:
    names = _names_taken(cls)
    offered = {"backbone": backbone, "vocabulary": context.vocabulary, "context": context}
    missing = {name: value for name, value in offered.items() if name in names and name not in arguments}
    injected = {name: value for name, value in missing.items() if value is not None}
    check_arguments(cls, [*arguments, *injected], "model")
    model = cls(**injected, **arguments)
    model.bind(Recipe(f"{cls.__module__}.{cls.__qualname__}", arguments, backbone, context))
    return model


def _names_taken(cls: type[Any]) -> set[str]:
    """Return what a constructor takes by name; one with `**kwargs` takes what those of its bases cannot do without."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            parameters = parameters_of(vars(base)["__init__"])
            names.update(name for name, one in parameters.items() if base is cls or one.default is one.empty)
            if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters.values()):
                break
    return names


def _wake(model: pl.LightningModule) -> None:
    # `from_pretrained` returns a model in evaluation mode and Lightning leaves it so: its dropout would be off
    for part in model.modules():
        resting = isinstance(part, PreTrainedModel) and not part.training
        if resting and any(parameter.requires_grad for parameter in part.parameters()):
            part.train()


def _checked_class(target: Any, key: str, allow: Iterable[str] = ()) -> type[Any]:
    cls = locate(target, key, allow)
    if not (isinstance(cls, type) and issubclass(cls, pl.LightningModule) and issubclass(cls, Task)):
        raise ConfigError(
            f"{shown(target)} is not a model of this runtime",
            because="a model is a class that has a task mixin and BaseModule as its bases, in that order",
            fix="write `class MyModel(SequenceTask, BaseModule)` or name another class",
            where=Where(key=key),
        )
    return cls


def _fact(context: Context, name: str) -> Any:
    if name not in context.facts:
        raise ConfigError(
            f"the data knows no fact called {shown(name)}",
            because=f"it knows {listed(sorted(context.facts))}",
            fix=f"use one of these in ${{fact:…}}, or add {name} to the facts in the task's fit",
            where=Where(key="model"),
        )
    return context.facts[name]


def load_weights(model: pl.LightningModule, weights: Mapping[str, Any], path: str | Path) -> None:
    """Give a model the weights of a checkpoint; RefusedError names those that do not fit."""
    own = model.state_dict()
    problems = [f"missing in the file: {key}" for key in own if key not in weights]
    problems += [f"unknown to the code: {key}" for key in weights if key not in own]
    problems += [
        f"{key}: shape {tuple(weights[key].shape)} in the file, {tuple(own[key].shape)} in the code"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    if problems:
        raise RefusedError(
            f"the weights in {path} no longer fit {type(model).__name__}",
            because=f"the code has changed since they were saved: {listed(problems)}",
            fix="go back to the code that was trained (manifest.json names its commit), or train again",
            where=Where(file=str(path)),
            code="refused.weights",
        )
    model.load_state_dict(dict(weights))

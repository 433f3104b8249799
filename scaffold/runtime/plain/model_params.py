"""A model by its registered name: what a config may say of it, and how it is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from scaffold.errors import ConfigError, Where, listed, nearest, shown
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.settings import read_values
from scaffold.runtime.plain.base_model import load_weights
from scaffold.runtime.plain.registry import find

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class ModelParams:
    """The `model` section of a config.

    model_name: as it was registered. model_kwargs: arguments of its constructor. dtype: of its weights. device_map:
    where it is built, which is auto (a GPU where there is one), cpu, cuda, cuda:1, or meta (without weights).
    freeze_layers: dotted names of parts that are not trained. compile: by torch.compile, in place. checkpoint: a folder
    of `save_pretrained` whose weights it starts with; load_pretrained_weights may say so too.
    """

    model_name: str
    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    dtype: Literal["float32", "float64", "bfloat16", "float16"] = "float32"
    device_map: str | None = None
    freeze_layers: list[str] = field(default_factory=list)
    compile: bool = False
    load_pretrained_weights: bool | None = None
    checkpoint: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.trust_remote_code:
            raise ValueError("trust_remote_code is true, but a registered model is code of this project")
        if self.load_pretrained_weights and self.checkpoint is None:
            raise ValueError("load_pretrained_weights is true, but checkpoint names no folder with weights")
        if self.load_pretrained_weights is False and self.checkpoint is not None:
            raise ValueError("load_pretrained_weights is false, but checkpoint names weights to load")


def build_model(model_params: ModelParams, packages: Iterable[str] = ()) -> nn.Module:
    """Build a registered model as the parameters say, in training mode.

    packages: packages that may have registered it, besides those in the current folder.

    Errors: ConfigError for an unknown name, argument, layer or device; those of `from_pretrained` for the checkpoint.
    """
    entry = find(model_params.model_name, "model", packages)
    if not (isinstance(entry.target, type) and issubclass(entry.target, nn.Module)):
        raise _wrong("model_name", f"{entry.path} is not an nn.Module", "register a class of PyTorch modules")
    check_arguments(entry.target, model_params.model_kwargs, "model.model_kwargs")
    arguments = read_values(entry.target, model_params.model_kwargs, "model.model_kwargs")
    with torch.device(_device(model_params.device_map)):
        model = entry.target(**arguments)
    model.to(dtype=DTYPES[model_params.dtype])
    if model_params.checkpoint is not None:
        load_weights(model, Path(model_params.checkpoint))
        model.to(dtype=DTYPES[model_params.dtype])
    freeze(model, model_params.freeze_layers)
    if model_params.compile:
        model.compile(dynamic=True)
    return model


def freeze(model: nn.Module, layers: Iterable[str]) -> None:
    """Keep parts of a model as they are: their parameters get no gradient.

    layers: dotted names of modules or parameters. Errors: ConfigError for a name that the model does not have.
    """
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    for name in layers:
        if name in parameters:
            parameters[name].requires_grad_(False)
        elif name in modules and any(True for _ in modules[name].parameters()):
            modules[name].requires_grad_(False)
        else:
            names = [part for part in [*modules, *parameters] if part]
            near = nearest(name, names)
            raise _wrong(
                "freeze_layers",
                f"{type(model).__name__} has no layer {shown(name)} with parameters",
                f"did you mean {near}?" if near else f"name some of {listed(names, 20)}",
            )


def _device(name: str | None) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name or "cpu")
    except RuntimeError as problem:
        raise _wrong("device_map", f"there is no device {shown(name)}", "set auto, cpu, cuda or meta") from problem
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise _wrong("device_map", f"this machine has no device {shown(name)}", "set device_map=auto")
    return device


def _wrong(name: str, what: str, fix: str) -> ConfigError:
    return ConfigError(what, fix=fix, where=Where(key=f"model.{name}"), code="config.model")

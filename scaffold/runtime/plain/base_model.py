"""The base of models that are nothing but PyTorch: an output with logits and loss, and a folder to come back from."""

from __future__ import annotations

import inspect
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers.utils import ModelOutput

import scaffold
from scaffold.errors import ArtefactError, ConfigError, RefusedError, Where, shown
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.objects import locate
from scaffold.runtime.config.settings import fits, is_plain
from scaffold.runtime.files import sha256, write_text
from scaffold.runtime.plain.registry import find, name_of

WEIGHTS, CONFIG = "model.safetensors", "config.json"
CONFIG_FIELDS = {"model_name": str | None, "class": str, "arguments": dict, "sha256": str}


class BaseModel(nn.Module, ABC):
    """A plain PyTorch module that can be saved, found by its registered name, and trained in any loop.

    `__init__` makes the layers from plain arguments, and neither loads weights nor moves them to a device. The
    arguments are kept in `init_arguments`, so that a folder written by `save_pretrained` is enough to make it again.
    """

    accepts_loss_kwargs = False  # transformers' Trainer must average the loss over accumulated batches itself
    init_arguments: Mapping[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Note the arguments of the constructor: its author need not think of it."""
        model = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(model, *args, **kwargs)
        except TypeError:  # __init__ raises it again; and a copy is made without arguments
            return model
        bound.apply_defaults()
        model.__dict__["init_arguments"] = _named(bound)
        return model

    @abstractmethod
    def forward(self, **batch: Tensor) -> ModelOutput:
        """Return an output with logits and, given labels, the loss: `ClassificationOutput` is one."""

    @property
    @abstractmethod
    def criterion(self) -> Callable[..., Tensor]:
        """The loss: a function of logits and labels, which `forward` calls."""

    def save_pretrained(self, folder: str | Path) -> None:
        """Write weights and config.json into a folder, from which `from_pretrained` makes the model again.

        Errors: RefusedError when an argument of the constructor is not plain data.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = self._config()
        draft = folder / f".{WEIGHTS}.{os.getpid()}.tmp"
        try:
            safetensors.torch.save_model(self, str(draft))
            config["sha256"] = sha256(draft)
            draft.replace(folder / WEIGHTS)
        finally:
            draft.unlink(missing_ok=True)
        write_text(folder / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    @classmethod
    def from_pretrained(cls, folder: str | Path, allow: tuple[str, ...] = ()) -> Self:
        """Make a saved model again, in evaluation mode; `BaseModel.from_pretrained` takes any registered class.

        allow: packages that may hold the class, besides those in the current folder.

        Errors: ArtefactError for a damaged folder, RefusedError when the code has no such model or no longer fits it.
        """
        folder = Path(folder)
        config = read_config(folder)
        found = _saved_class(config, folder, allow)
        if not issubclass(found, cls):
            raise RefusedError(
                f"{folder} holds no {cls.__name__}",
                because=f"it was saved from {config['class']}",
                fix=f"call {found.__name__}.from_pretrained, or BaseModel.from_pretrained",
                where=Where(file=str(folder)),
                code="refused.model",
            )
        try:
            check_arguments(found, config["arguments"], "arguments")
        except ConfigError as problem:
            raise _outgrown(found, folder, problem.what) from problem
        model = found(**config["arguments"])
        load_weights(model, folder)
        return model.eval()

    def _config(self) -> dict[str, Any]:
        odd = [name for name, value in self.init_arguments.items() if not is_plain(value)]
        if odd:
            raise RefusedError(
                f"{type(self).__name__} cannot be saved with its argument {odd[0]}",
                because=f"config.json holds plain data, and it is a {type(self.init_arguments[odd[0]]).__name__}",
                fix="take numbers, texts, lists and dicts, and build the rest in __init__",
                code="refused.arguments",
            )
        return {
            "model_name": name_of(type(self)),
            "class": f"{type(self).__module__}.{type(self).__qualname__}",
            "arguments": dict(self.init_arguments),
            "runtime": scaffold.__version__,
        }


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.json of a saved model.

    Errors: RefusedError when there is none, ArtefactError when it is not one of ours.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise RefusedError(
            f"there is no saved model in {folder}",
            because=f"it has no {CONFIG}" if folder.is_dir() else "the folder does not exist",
            fix="name a folder that save_pretrained wrote",
            where=Where(file=str(folder)),
            code="refused.no-model",
        )
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise _damaged(path, str(problem)) from None
    if not isinstance(config, dict):
        raise _damaged(path, "it holds no keys with values")
    wrong = [name for name, hint in CONFIG_FIELDS.items() if name not in config or not fits(config[name], hint)]
    if wrong:
        raise _damaged(path, f"its {wrong[0]} is missing, or of another type")
    return config


def load_weights(model: nn.Module, folder: Path) -> None:
    """Load the weights of a saved model, in the numbers they were saved with; errors as for `from_pretrained`."""
    path, config = folder / WEIGHTS, read_config(folder)
    if not path.is_file():
        raise _damaged(path, "it is missing")
    if sha256(path) != config["sha256"]:
        raise _damaged(path, f"it does not fit the sha256 in {CONFIG}")
    try:
        _take_types(model, safetensors.torch.load_file(path))
        safetensors.torch.load_model(model, path)
    except SafetensorError as problem:
        raise _damaged(path, str(problem)) from None
    except RuntimeError as problem:
        raise _outgrown(type(model), folder, " ".join(str(problem).split())) from problem


def _take_types(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in weights.items():
        if name in own:
            own[name].data = own[name].data.to(tensor.dtype)


def _saved_class(config: Mapping[str, Any], folder: Path, allow: tuple[str, ...]) -> type[BaseModel]:
    name = config["model_name"]
    try:
        found = find(name, "model", allow).target if name else locate(config["class"], "class", allow)
    except ConfigError as problem:
        called = f"registered as {shown(name)}" if name else f"called {config['class']}"
        raise RefusedError(
            f"the code has no model {called}",
            because=f"{folder} was saved from {config['class']}, and {problem.because}",
            fix="give the class back its name, and run from the folder of its project"
            + (f"; {problem.fix}" if problem.fix.startswith("did you") else ""),
            where=Where(file=str(folder)),
            code="refused.model",
        ) from problem
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise _outgrown(found, folder, f"{shown(found)} is no BaseModel")
    return found


def _named(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return arguments by name, without the model itself; those of a `**kwargs` stand beside the others."""
    parameters = list(bound.signature.parameters.values())
    extra = {one.name for one in parameters if one.kind is one.VAR_KEYWORD}
    named = {name: value for name, value in list(bound.arguments.items())[1:] if name not in extra}
    return named | {key: value for name in extra for key, value in bound.arguments[name].items()}


def _outgrown(found: Any, folder: Path, because: str) -> RefusedError:
    return RefusedError(
        f"the model in {folder} no longer fits {getattr(found, '__name__', found)}",
        because=f"the code has changed since it was saved: {because}",
        fix="go back to the code that it was saved with, or train again",
        where=Where(file=str(folder)),
        code="refused.weights",
    )


def _damaged(path: Path, because: str) -> ArtefactError:
    return ArtefactError(
        "the saved model is damaged",
        because=because,
        fix="copy its folder again from where it came, or save the model once more",
        where=Where(file=str(path)),
        code="artefact.model",
    )

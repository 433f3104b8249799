"""Backbones that are loaded: any Auto class of transformers, from a folder or the hub."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from scaffold.errors import ArtefactError, ConfigError, EnvironmentFault, ScaffoldError, Where, listed, nearest, shown
from scaffold.runtime.encoders.options import PretrainedOptions, read_options, refuse_unknown
from scaffold.runtime.encoders.quiet import quiet
from scaffold.runtime.encoders.scratch_encoder import ScratchConfig, ScratchEncoder
from scaffold.runtime.encoders.scratch_seq2seq import ScratchSeq2Seq, ScratchSeq2SeqConfig
from scaffold.runtime.encoders.scratch_source import plain_config

NAME = Where(key="backbone.name")

log = logging.getLogger(__name__)


class PretrainedSource:
    """Loads tokenizer and model of one name; `transformers` is asked by attribute, so that Auto classes load late."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = read_options(PretrainedOptions, options)
        register_scratch()

    def options(self) -> dict[str, Any]:
        """Return the options as plain data."""
        return asdict(self._options)

    def fit_processor(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:  # noqa: ARG002 - it is trained already
        """Load the model's tokenizer; one without padding pads with its end-of-text token."""
        name = _checked_name(self._options.name)
        with _explained(name):
            tokenizer = transformers.AutoTokenizer.from_pretrained(name, **self._hub())
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise ConfigError(
                f"the tokenizer of {shown(name)} is not a fast one",
                because=f"{type(tokenizer).__name__} cannot be kept as JSON in a checkpoint",
                fix="choose a model whose folder has a tokenizer.json",
                where=NAME,
            )
        if tokenizer.pad_token is None:
            tokenizer.pad_token = _end_of_text(tokenizer, name)
        return tokenizer

    def build(
        self, auto: str, overrides: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None
    ) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Load the model, or make it at random on the meta device, where there is nothing to load into."""
        auto_class, name = _auto_class(auto), _checked_name(self._options.name)
        with _explained(name):
            config = transformers.AutoConfig.from_pretrained(name, **self._hub())
        changes = {**self._options.config, **overrides}
        arguments = _pooling(config, auto, changes)
        _change(config, changes)
        with _explained(name):
            model = self._load(auto_class, name, config, arguments)
        record = {"auto": auto, "config": plain_config(model.config), "arguments": arguments}
        if model.can_generate():
            record["generation"] = json.loads(model.generation_config.to_json_string(use_diff=False))
        return _padded(model, tokenizer), record

    def rebuild(self, record: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None) -> PreTrainedModel:
        """Make the recorded modules again from their configuration."""
        with _explained(self._options.name):
            config = self._config_class(record["config"]).from_dict(dict(record["config"]))
            model = self._from_config(_auto_class(record["auto"]), config, record["arguments"])
            if "generation" in record:
                model.generation_config = transformers.GenerationConfig.from_dict(dict(record["generation"]))
        return _padded(model, tokenizer)

    def _load(
        self, auto_class: Any, name: str, config: PreTrainedConfig, arguments: Mapping[str, Any]
    ) -> PreTrainedModel:
        options = self._options
        if torch.get_default_device().type == "meta":
            config.dtype = None if options.dtype == "auto" else options.dtype
            return self._from_config(auto_class, config, arguments)
        chosen = {"dtype": options.dtype, **self._attention(), **self._hub(), **arguments}
        with quiet():
            model, found = auto_class.from_pretrained(name, config=config, output_loading_info=True, **chosen)
        if found["missing_keys"]:
            log.warning("%s lacks weights that start at random: %s", name, listed(sorted(found["missing_keys"])))
        return model

    def _from_config(self, auto_class: Any, config: PreTrainedConfig, arguments: Mapping[str, Any]) -> PreTrainedModel:
        trusted = {"trust_remote_code": self._options.trust_remote_code}
        return auto_class.from_config(config, **trusted, **self._attention(), **arguments)

    def _config_class(self, config: Mapping[str, Any]) -> type[PreTrainedConfig]:
        model_type = config["model_type"]
        if model_type in transformers.CONFIG_MAPPING:
            return transformers.CONFIG_MAPPING[model_type]
        if self._options.trust_remote_code:
            # a class of the model's own code, which no checkpoint can hold
            return type(transformers.AutoConfig.from_pretrained(self._options.name, **self._hub()))
        raise EnvironmentFault(
            f"a model of type {shown(model_type)} cannot be made again",
            because="this transformers does not know the type, and code from elsewhere is not run unasked",
            fix="use the run's transformers version, or pass trust_remote_code=True if you trust its code",
        )

    def _hub(self) -> dict[str, Any]:
        options = self._options
        found = {"revision": options.revision, "cache_dir": options.cache_dir}
        return {
            "trust_remote_code": options.trust_remote_code,
            "local_files_only": options.local_files_only,
            **{key: value for key, value in found.items() if value is not None},
        }

    def _attention(self) -> dict[str, Any]:
        chosen = self._options.attn_implementation
        return {} if chosen is None else {"attn_implementation": chosen}


def register_scratch() -> None:
    """Make the Auto classes know a saved `ScratchEncoder` and `ScratchSeq2Seq`."""
    for config in (ScratchConfig, ScratchSeq2SeqConfig):
        transformers.AutoConfig.register(config.model_type, config, exist_ok=True)
    transformers.AutoModel.register(ScratchConfig, ScratchEncoder, exist_ok=True)
    transformers.AutoModelForSeq2SeqLM.register(ScratchSeq2SeqConfig, ScratchSeq2Seq, exist_ok=True)


def _auto_class(name: str) -> Any:
    known = [entry for entry in dir(transformers) if entry.startswith("AutoModel")]
    if name in known:
        return getattr(transformers, name)
    near = nearest(name, known)
    raise ConfigError(
        f"transformers has no Auto class called {shown(name)}",
        fix=f"did you mean {near!r}?" if near else "name one such as AutoModel",
    )


def _pooling(config: PreTrainedConfig, auto: str, changes: dict[str, Any]) -> dict[str, Any]:
    """Take `add_pooling_layer` out of the changes, False by default, where the class has it: it gets no gradient."""
    if auto != "AutoModel" or type(config) not in transformers.MODEL_MAPPING:
        return {}
    found = transformers.MODEL_MAPPING[type(config)]
    classes = found if isinstance(found, tuple | list) else (found,)
    if all(each and "add_pooling_layer" in inspect.signature(each).parameters for each in classes):
        return {"add_pooling_layer": bool(changes.pop("add_pooling_layer", False))}
    return {}


def _change(config: PreTrainedConfig, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        refuse_unknown(name, [*config.to_dict(), *config.attribute_map, "num_labels"])
        setattr(config, name, value)


def _padded(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast | None) -> PreTrainedModel:
    # after the model was made: before, its embedding would stop to learn the padding token, which may be a real one
    if tokenizer is not None and getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _end_of_text(tokenizer: PreTrainedTokenizerFast, name: str) -> str:
    if tokenizer.eos_token is not None:
        return tokenizer.eos_token
    raise ConfigError(
        f"the tokenizer of {shown(name)} cannot pad",
        because="it has neither a padding nor an end-of-text token",
        fix="set pad_token in its tokenizer_config.json",
        where=NAME,
    )


def _checked_name(name: str) -> str:
    """Return the name as transformers takes it; one that is plainly a folder must be there and hold a model."""
    folder = Path(name).expanduser()
    looks_like_a_folder = name.startswith((".", "~", os.sep)) or name.count("/") > 1 or "\\" in name
    if not folder.is_dir():
        if not looks_like_a_folder:
            return name
        raise ConfigError(
            f"there is no model folder {shown(name)}",
            because="a folder was expected" if folder.exists() else "nothing is there",
            fix="give backbone.name a folder that save_pretrained wrote, or a hub id",
            where=NAME,
        )
    if not (folder / "config.json").is_file():
        raise ConfigError(
            f"the folder {shown(name)} holds no model",
            because="it has no config.json",
            fix="give backbone.name a folder that save_pretrained wrote, or a hub id",
            where=NAME,
        )
    return str(folder)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever a library says about a model that cannot be had into one of our errors."""
    try:
        yield
    except (ScaffoldError, MemoryError):
        raise
    except Exception as error:
        raise _explanation(name, error) from error


def _explanation(name: str, error: Exception) -> ScaffoldError:
    cause = " ".join(str(error).split())[:200]
    if "trust_remote_code" in str(error):
        return ConfigError(
            f"{shown(name)} brings its own code, which is not run unless you say so",
            fix="read that code, then set backbone.trust_remote_code=true",
            where=NAME,
        )
    if isinstance(error, ValueError | TypeError | KeyError) or "ignore_mismatched_sizes" in str(error):
        return ConfigError(
            f"{shown(name)} cannot be used like this",
            because=cause,
            fix="choose another model, or another Auto class in build()",
            where=NAME,
        )
    if Path(name).is_dir():
        return ArtefactError(
            f"the model in {shown(name)} cannot be loaded",
            because=cause,
            fix="save or download the folder again",
            where=NAME,
        )
    return EnvironmentFault(
        f"the model {shown(name)} cannot be had",
        because=cause,
        fix="check its spelling and the network, or give backbone.name a folder",
        where=NAME,
    )

"""What `conf/backbone` may say, checked by name, type and range before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from scaffold.errors import ConfigError, Where, listed, nearest, shown
from scaffold.runtime.config.settings import Positive, Range, read_settings

SMALLEST_VOCABULARY = 261  # 256 bytes and 5 special tokens

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchOptions:
    """Sizes of an encoder that starts at random, and of its tokenizer.

    blocks and match belong to the architecture "ngram", layers to "bert" and to the decoder of an encoder-decoder.
    """

    architecture: Literal["ngram", "bert"] = "ngram"
    vocabulary_size: Annotated[int, Range(SMALLEST_VOCABULARY, 1_000_000)] = 8000
    hidden_size: Positive = 128
    dropout: Annotated[float, Range(0, 0.99)] = 0.3
    heads: Positive = 4
    blocks: list[str] = field(default_factory=lambda: ["conv", "attention"])
    match: bool = False
    layers: Positive = 2

    def __post_init__(self) -> None:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"each of {self.heads} heads needs an even share of hidden_size, got {self.hidden_size}: "
                f"choose one that {2 * self.heads} divides"
            )
        if self.match and self.architecture == "bert":
            raise ValueError("architecture bert has no match layer: set backbone.architecture=ngram")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedOptions:
    """Which pretrained model to load, and how; `config` sets entries of its own configuration, such as its dropout."""

    name: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    cache_dir: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("backbone.name is empty: give a folder or a hub id")


def read_options(cls: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Return the options as a dataclass of plain data; errors as for `read_settings`."""
    return read_settings(cls, {name: _as_plain(value) for name, value in given.items()}, "backbone")


def refuse_unknown(name: str, known: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest known name, for an entry that a model's configuration does not have."""
    names = list(known)
    if name in names:
        return
    near = nearest(name, names)
    raise ConfigError(
        f"the backbone's configuration has no entry {shown(name)}",
        because="" if near else f"it has {listed(names, 20)}",
        fix=f"did you mean {near!r}?" if near else "leave it out",
        where=Where(key=f"backbone.{name}"),
    )


def _as_plain(value: Any) -> Any:
    """Return a value without the containers of OmegaConf, which are no lists and which no checkpoint can hold."""
    if isinstance(value, Mapping):
        return {key: _as_plain(item) for key, item in value.items()}
    return [_as_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value

"""What `conf/backbone` may say, checked by name, type and range before anything is built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from scaffold.errors import ConfigError, Where, listed, shown

ARCHITECTURES = ("ngram", "bert")
DTYPES = ("float32", "bfloat16", "float16", "auto")
SMALLEST_VOCABULARY = 261  # 256 bytes and 5 special tokens

OptionsT = TypeVar("OptionsT")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchOptions:
    """Sizes of an encoder that starts at random, and of its tokenizer.

    blocks and match belong to the architecture "ngram", layers to "bert" and to the decoder of an encoder-decoder.
    """

    architecture: str = "ngram"
    vocabulary_size: int = 8000
    hidden_size: int = 128
    dropout: float = 0.3
    heads: int = 4
    blocks: list[str] = field(default_factory=lambda: ["conv", "attention"])
    match: bool = False
    layers: int = 2

    def __post_init__(self) -> None:
        _one_of("architecture", self.architecture, ARCHITECTURES)
        _within("dropout", self.dropout, 0.0, 0.99)
        _within("vocabulary_size", self.vocabulary_size, SMALLEST_VOCABULARY, 1_000_000)
        for name in ("hidden_size", "heads", "layers"):
            _within(name, getattr(self, name), 1, 100_000)
        if self.hidden_size % (2 * self.heads):
            raise _refusal(
                "hidden_size",
                f"hidden_size {self.hidden_size} does not fit {self.heads} heads",
                because="each head needs an even share of it",
                fix=f"choose a hidden_size that {2 * self.heads} divides",
            )
        if self.match and self.architecture == "bert":
            raise _refusal("match", "architecture bert has no match layer", fix="set backbone.architecture=ngram")


@dataclass(frozen=True, slots=True, kw_only=True)
class PretrainedOptions:
    """Which pretrained model to load, and how; `config` sets entries of its own configuration, such as its dropout."""

    name: str
    revision: str | None = None
    dtype: str = "float32"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    cache_dir: str | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("dtype", self.dtype, DTYPES)
        if not self.name.strip():
            raise _refusal("name", "backbone.name is empty", fix="give a folder or a hub id: backbone.name=…")


def read_options(cls: type[OptionsT], given: Mapping[str, Any]) -> OptionsT:
    """Return the options as a dataclass.

    Errors: ConfigError for a name that is unknown or missing, and for a value of another type or out of its range.
    """
    annotations = get_type_hints(cls)
    given = {name: _as_plain(value) for name, value in given.items()}
    for name, value in given.items():
        refuse_unknown(name, annotations)
        accepted = _types(annotations[name])
        if not _is_one(value, accepted):
            wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in accepted)
            raise _refusal(
                name, f"backbone.{name} is of the wrong type", because=f"expected {wanted}, got {shown(value)}"
            )
    if "name" in annotations and "name" not in given:
        raise _refusal(
            "name",
            "a pretrained backbone needs a name",
            because="no model is downloaded unless you choose one",
            fix="give a folder or a hub id: backbone.name=…",
        )
    return cls(**given)


def refuse_unknown(name: str, known: Iterable[str]) -> None:
    """Raise ConfigError, with the nearest known name, for an option that does not exist."""
    names = list(known)
    if name in names:
        return
    near = get_close_matches(name, names, n=1)
    raise _refusal(
        name,
        f"a backbone has no option {shown(name)}",
        because="" if near else f"known are {listed(names, 20)}",
        fix=f"did you mean {near[0]!r}?" if near else "leave it out",
    )


def plain_options(options: Any) -> dict[str, Any]:
    """Return options as plain data, as `read_options` takes them."""
    return {entry.name: getattr(options, entry.name) for entry in fields(options)}


def _as_plain(value: Any) -> Any:
    """Return a value without the containers of OmegaConf, which are no lists and which no checkpoint can hold."""
    if isinstance(value, Mapping):
        return {key: _as_plain(item) for key, item in value.items()}
    return [_as_plain(item) for item in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def _types(annotation: Any) -> tuple[type, ...]:
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    return tuple(get_origin(part) or part for part in parts)


def _is_one(value: Any, accepted: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in accepted
    return isinstance(value, accepted) or (float in accepted and isinstance(value, int))


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        near = get_close_matches(value, choices, n=1)
        raise _refusal(
            name,
            f"backbone.{name} cannot be {shown(value)}",
            because=f"expected {listed(choices)}",
            fix=f"did you mean {near[0]!r}?" if near else f"set backbone.{name}={choices[0]}",
        )


def _within(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise _refusal(
            name, f"backbone.{name} is out of range", because=f"expected {lowest} to {highest}, got {shown(value)}"
        )


def _refusal(name: str, what: str, *, because: str = "", fix: str = "") -> ConfigError:
    place = f"backbone.{name}"
    return ConfigError(what, because=because, fix=fix or f"set {place} to such a value", where=Where(key=place))

"""Arguments for the constructor of a lone class: what was given, its defaults, and what a name says clearly."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedConfig, PreTrainedModel

from scaffold.check.probe_crash import is_own
from scaffold.check.probe_place import Places
from scaffold.errors import ScaffoldError, Where, listed

if TYPE_CHECKING:
    from scaffold.runtime.encoders.backbones import Backbone

LABELS = ("negative", "neutral", "positive")
TEXTS = [
    f"{verb} the {noun} {place}" for verb in ("see", "read", "write") for noun in ("text", "row") for place in "ab"
]
NUMBERS = {
    3: "num_labels num_classes n_labels n_classes labels classes output_dim out_dim output_size out_features "
    "channels in_channels num_channels",
    64: "vocab_size vocabulary_size num_embeddings n_tokens num_tokens vocab ntoken input_dim max_length max_len "
    "max_seq_len max_position_embeddings sequence_length block_size context_length",
    32: "hidden_size hidden_dim dim d_model embed_dim embedding_dim emb_dim width n_embd image_size img_size "
    "intermediate_size d_ff ffn_dim",
    4: "num_heads n_heads heads nhead n_head num_attention_heads kernel_size",
    2: "num_layers n_layers layers depth n_layer num_hidden_layers",
    0: "pad_id pad_token_id padding_idx pad_idx",
}
GUESSES: dict[str, Any] = {name: value for value, names in NUMBERS.items() for name in names.split()}
GUESSES |= dict.fromkeys(("dropout", "dropout_rate", "drop", "p_drop"), 0.1)
OPTIM = {"_target_": "torch.optim.AdamW", "lr": 1e-3}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 96}


class Unknown(ScaffoldError):  # noqa: N818 - nothing is wrong, something is asked for
    """A constructor needs what was not given and cannot be guessed."""


def needed_arguments(cls: type, init: Mapping[str, Any]) -> list[str]:
    """Return the names of what a constructor must be given besides `init`."""
    return [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in init
    ]


def cannot_guess(cls: type, names: list[str]) -> Unknown:
    """Return that a constructor needs arguments which only a person can give."""
    return Unknown(
        f"the constructor of {cls.__name__} needs {listed(names)}",
        because="no name of these says clearly what it should be",
        fix=f"add --init {' '.join(f'{name}=…' for name in names)}",
        where=where(cls, "__init__"),
        code="usage.init",
    )


def where(cls: type, method: str) -> Where:
    """Return where a method of a class is defined, as errors say it."""
    place = Places(cls).method(method)
    return Where(place["file"], place["line"])


def constructor(cls: type, init: Mapping[str, Any]) -> Callable[[], Any]:
    """Return what makes a new model of a class.

    Raises Unknown for a required argument that was not given and whose name does not say what it is.
    """
    needed, objects = needed_arguments(cls, init), _objects(cls)
    if unknown := [name for name in needed if name not in objects and name not in GUESSES]:
        raise cannot_guess(cls, unknown)

    def make() -> Any:
        chosen = {name: objects[name]() if name in objects else GUESSES[name] for name in needed}
        return cls(**{**chosen, **init})

    return make


def _objects(cls: type) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {
        "vocabulary": _vocabulary,
        "backbone": lambda: small_backbone(TEXTS, architecture="bert"),
        "optim_conf": lambda: OPTIM,
    }
    config_class = getattr(cls, "config_class", None)
    if issubclass(cls, PreTrainedModel) and config_class is not None:
        found["config"] = lambda: _config(config_class)
    return found


def _vocabulary() -> Any:
    from scaffold.runtime.vocabulary import Vocabulary

    return Vocabulary({"labels": LABELS})


def small_backbone(texts: Iterable[str], **options: Any) -> Backbone:
    """Return a small backbone that starts at random, its tokenizer trained on some texts."""
    from scaffold.runtime.encoders.backbones import Backbone

    backbone = Backbone("scratch", hidden_size=32, dropout=0.1, **options)
    backbone.fit_processor(texts)
    return backbone


def _config(config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """Return a small configuration; one of the person's own is as they made it."""
    config = config_class()
    file = inspect.getsourcefile(config_class)
    if file is not None and is_own(file):
        return config
    known: dict[str, Any] = {name: value for name, value in SMALL.items() if hasattr(config, name)}
    return config_class(**known)

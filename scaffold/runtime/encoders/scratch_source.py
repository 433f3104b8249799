"""Backbones that start at random: a tokenizer trained on the project's own texts, and an encoder made to fit it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from transformers import BertConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from scaffold.errors import ConfigError, RefusedError, Where, shown
from scaffold.runtime.encoders.options import ScratchOptions, read_options, refuse_unknown
from scaffold.runtime.encoders.scratch_encoder import ScratchConfig, ScratchEncoder
from scaffold.runtime.encoders.tokenizers import train_tokenizer

BERT_POSITIONS = 512
AUTO_CLASSES = ("AutoModel", "AutoModelForSeq2SeqLM")


class ScratchSource:
    """Makes tokenizer and encoder from nothing but texts and sizes."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = read_options(ScratchOptions, options)

    def options(self) -> dict[str, Any]:
        """Return the options as plain data."""
        return asdict(self._options)

    def fit_processor(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """Train the tokenizer on the texts."""
        tokenizer = train_tokenizer(texts, self._options.vocabulary_size)
        if self._options.architecture == "bert":
            tokenizer.model_max_length = BERT_POSITIONS
        return tokenizer

    def build(
        self, auto: str, overrides: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None
    ) -> tuple[PreTrainedModel, dict[str, Any]]:
        """Make a new encoder, or encoder-decoder, that fits the tokenizer."""
        _check_class(auto, self._options.architecture)
        if tokenizer is None:
            raise RefusedError(
                "a scratch backbone needs its tokenizer before it can be built",
                because="the encoder is made to fit the vocabulary",
                fix="call backbone.fit_processor(texts) first",
            )
        config = _config(self._options, tokenizer, auto)
        for name, value in overrides.items():
            refuse_unknown(name, config.to_dict())
            setattr(config, name, value)
        model = _model(config, tokenizer)
        return model, {"auto": auto, "config": plain_config(model.config), "arguments": {}}

    def rebuild(self, record: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast | None) -> PreTrainedModel:
        """Make the recorded model again."""
        config_class = _config_class(record["config"]["model_type"])
        return _model(config_class.from_dict(dict(record["config"])), tokenizer)


def plain_config(config: PreTrainedConfig) -> dict[str, Any]:
    """Return every entry of a configuration as plain data."""
    entries: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return entries


def _check_class(auto: str, architecture: str) -> None:
    if auto not in AUTO_CLASSES:
        raise ConfigError(
            f"a scratch backbone cannot be an {shown(auto)}",
            because=f"it is an encoder without a head or an encoder-decoder: {' or '.join(AUTO_CLASSES)}",
            fix="call backbone.build() and add your own head, or set backbone=pretrained",
            where=Where(key="backbone.kind"),
        )
    if auto != "AutoModel" and architecture == "bert":
        raise ConfigError(
            "a scratch backbone of architecture bert has no decoder",
            fix="set backbone.architecture=ngram, or backbone=pretrained",
            where=Where(key="backbone.architecture"),
        )


def _config_class(model_type: str) -> type[PreTrainedConfig]:
    if model_type == BertConfig.model_type:
        return BertConfig
    if model_type == ScratchConfig.model_type:
        return ScratchConfig
    return _seq2seq().ScratchSeq2SeqConfig  # type: ignore[no-any-return]


def _config(options: ScratchOptions, tokenizer: PreTrainedTokenizerFast, auto: str) -> PreTrainedConfig:
    shared: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": options.hidden_size,
        "num_attention_heads": options.heads,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if options.architecture == "bert":
        return _bert_config(options, shared)
    shared |= {
        "dropout": options.dropout,
        "blocks": options.blocks,
        "match": options.match,
        "special_ids": sorted(tokenizer.all_special_ids),
    }
    if auto == "AutoModel":
        return ScratchConfig(**shared)
    return _seq2seq().ScratchSeq2SeqConfig(  # type: ignore[no-any-return]
        num_hidden_layers=options.layers,
        decoder_start_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        **shared,
    )


def _bert_config(options: ScratchOptions, shared: Mapping[str, Any]) -> BertConfig:
    return BertConfig(
        num_hidden_layers=options.layers,
        intermediate_size=4 * options.hidden_size,
        hidden_dropout_prob=options.dropout,
        attention_probs_dropout_prob=0.0,  # else the fused kernel is ruled out
        max_position_embeddings=BERT_POSITIONS,
        **shared,
    )


def _model(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast | None) -> PreTrainedModel:
    if isinstance(config, BertConfig):
        from transformers import BertModel  # here, as most scratch runs never need it

        return BertModel(config, add_pooling_layer=False)
    model = ScratchEncoder(config) if type(config) is ScratchConfig else _seq2seq().ScratchSeq2Seq(config)
    if tokenizer is not None:
        model.read_pieces(tokenizer)
    return model


def _seq2seq() -> Any:
    # on use, as it loads all that `generate` needs
    from scaffold.runtime.encoders import scratch_seq2seq

    return scratch_seq2seq

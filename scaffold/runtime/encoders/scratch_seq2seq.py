"""The encoder-decoder that learns from a project's own rows alone: the scratch encoder, and a small decoder over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's own name for it
from torch import Tensor, nn
from transformers import EncoderDecoderCache, GenerationMixin, PreTrainedModel, PreTrainedTokenizerFast
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

from scaffold.runtime.encoders.scratch_encoder import ScratchConfig, ScratchEncoder, rotate, rotation
from scaffold.runtime.generation import decoder_inputs


@dataclass(frozen=True)
class Surroundings:
    """What every decoder layer looks at besides the states of the tokens that are written.

    source: (rows, length, size), with its mask. turn: the angles of the tokens' positions. causal: what each token may
    look at, None where that is everything. cache: keys and values of earlier steps, in `generate`.
    """

    source: Tensor
    source_mask: Tensor
    turn: tuple[Tensor, Tensor]
    causal: Tensor | None
    cache: EncoderDecoderCache | None


class ScratchSeq2SeqConfig(ScratchConfig):
    """The sizes of a `ScratchSeq2Seq`: those of its encoder, and how many layers the decoder has."""

    model_type = "scaffold-scratch-seq2seq"

    def __init__(
        self,
        num_hidden_layers: int = 2,
        decoder_start_token_id: int | None = 2,
        eos_token_id: int | None = 3,
        is_encoder_decoder: bool = True,
        tie_word_embeddings: bool = False,  # tied, a small one learns more slowly
        **kwargs: Any,
    ) -> None:
        self.num_hidden_layers = num_hidden_layers
        self.decoder_start_token_id = decoder_start_token_id
        self.eos_token_id = eos_token_id
        super().__init__(is_encoder_decoder=is_encoder_decoder, tie_word_embeddings=tie_word_embeddings, **kwargs)


class SourceEncoder(ScratchEncoder):
    """The scratch encoder as `generate` calls it."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_attentions: bool | None = None,  # noqa: ARG002
        output_hidden_states: bool | None = None,  # noqa: ARG002
        return_dict: bool | None = None,  # noqa: ARG002
    ) -> BaseModelOutput:
        """Encode ids and mask; what asks for further outputs is passed over: there are none."""
        return super().forward(input_ids, attention_mask, token_type_ids)


class Attention(nn.Module):
    """Attention of queries to keys and values that are given, or kept from earlier steps."""

    def __init__(self, config: ScratchSeq2SeqConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.output = nn.Linear(size, size)

    def queries(self, hidden: Tensor) -> Tensor:
        """Return (rows, heads, length, size of a head)."""
        return self._split(self.query(hidden))

    def keys_values(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, each (rows, heads, length, size of a head)."""
        key, value = self.key_value(hidden).chunk(2, dim=-1)
        return self._split(key), self._split(value)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Mix the values: (rows, length, size)."""
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.output(mixed.transpose(1, 2).flatten(2))

    def _split(self, states: Tensor) -> Tensor:
        return states.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class DecoderLayer(nn.Module):
    """Attention to what is written so far, attention to the source, a feed-forward layer; each pre-norm residual."""

    def __init__(self, config: ScratchSeq2SeqConfig, number: int) -> None:
        super().__init__()
        size = config.hidden_size
        self.number = number
        self.own_norm, self.source_norm, self.feed_norm = (nn.LayerNorm(size) for _ in range(3))
        self.own = Attention(config)
        self.source = Attention(config)
        self.widen = nn.Linear(size, config.feed_forward_ratio * size)
        self.narrow = nn.Linear(config.feed_forward_ratio * size, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """Return the new states of the tokens that are written: (rows, length, size)."""
        hidden = hidden + self.dropout(self._look_back(self.own_norm(hidden), around))
        key, value = self._source_keys_values(around)
        query = self.source.queries(self.source_norm(hidden))
        hidden = hidden + self.dropout(self.source(query, key, value, around.source_mask))
        return hidden + self.dropout(self.narrow(F.gelu(self.widen(self.feed_norm(hidden)))))

    def _look_back(self, inner: Tensor, around: Surroundings) -> Tensor:
        query = rotate(self.own.queries(inner), around.turn)
        key, value = self.own.keys_values(inner)
        key = rotate(key, around.turn)
        if around.cache is not None:
            key, value = around.cache.self_attention_cache.update(key, value, self.number)
        return self.own(query, key, value, around.causal)  # type: ignore[no-any-return]

    def _source_keys_values(self, around: Surroundings) -> tuple[Tensor, Tensor]:
        """Return keys and values of the source, which stay the same for every token."""
        cache = around.cache
        if cache is None:
            return self.source.keys_values(around.source)
        if not cache.is_updated.get(self.number):
            cache.cross_attention_cache.update(*self.source.keys_values(around.source), self.number)
            cache.is_updated[self.number] = True
        layer: Any = cache.cross_attention_cache.layers[self.number]
        return layer.keys, layer.values


class ScratchSeq2Seq(PreTrainedModel, GenerationMixin):
    """A small encoder-decoder to train from nothing; `generate` is that of transformers."""

    config_class = ScratchSeq2SeqConfig
    base_model_prefix = "seq2seq"
    main_input_name = "input_ids"
    _input_embed_layer = "embeddings"
    _supports_sdpa = True
    _tied_weights_keys = {"lm_head.weight": "embeddings.weight"}  # noqa: RUF012 - transformers' own

    def __init__(self, config: ScratchSeq2SeqConfig) -> None:
        super().__init__(config)
        self.encoder = SourceEncoder(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.input_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(DecoderLayer(config, number) for number in range(config.num_hidden_layers))
        self.output_norm = nn.LayerNorm(config.hidden_size)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: BaseModelOutput | None = None,
        past_key_values: EncoderDecoderCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,  # noqa: ARG002 - `generate` hands in a cache, or none
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,  # noqa: ARG002
    ) -> Seq2SeqLMOutput:
        """Score every next token of the target.

        input_ids, attention_mask: (rows, length). decoder_input_ids: (rows, target length), by default the labels moved
        right, or the start alone. labels: (rows, target length), -100 is ignored. Logits are (rows, target length,
        vocabulary). output_hidden_states: give `decoder_hidden_states`, of which the last is what the head reads.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        source = encoder_outputs[0]
        mask = source.new_ones(source.shape[:2]) if attention_mask is None else attention_mask
        if decoder_input_ids is None:
            decoder_input_ids = decoder_inputs(self, labels, len(source))
        hidden = self._decode(decoder_input_ids, source, mask.bool()[:, None, None, :], past_key_values)
        logits = self.lm_head(hidden[-1])
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=past_key_values,
            decoder_hidden_states=hidden if output_hidden_states else None,
            encoder_last_hidden_state=source,
        )

    def read_pieces(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Tell the encoder the pieces of the tokenizer that it will be used with."""
        self.encoder.read_pieces(tokenizer)

    def _decode(
        self, ids: Tensor, source: Tensor, mask: Tensor, cache: EncoderDecoderCache | None
    ) -> tuple[Tensor, ...]:
        """Return the tokens' states before the first layer and after each, the last as the head reads them."""
        config, length = self.config, ids.shape[1]
        before = 0 if cache is None else cache.get_seq_length()
        head = config.hidden_size // config.num_attention_heads
        cosines, sines = rotation(before + length, head, config.rotary_base, ids.device)
        causal = None
        if length > 1:
            causal = torch.ones(length, before + length, dtype=torch.bool, device=ids.device).tril(before)
        around = Surroundings(source, mask, (cosines[before:], sines[before:]), causal, cache)
        hidden = [self.dropout(self.input_norm(self.embeddings(ids)))]
        for layer in self.layers:
            hidden.append(layer(hidden[-1], around))
        return *hidden[:-1], self.output_norm(hidden[-1])

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if module is self.embeddings:
            init.normal_(module.weight, std=self.config.hidden_size**-0.5)
        elif module is self.lm_head and self.config.tie_word_embeddings:
            return
        elif isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()

"""The encoder that learns from a project's own rows alone: character n-grams, a convolution, one attention layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's own name for it
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from scaffold.errors import ConfigError, shown
from scaffold.runtime.encoders.ngrams import ngram_table

BLOCKS = ("conv", "attention")


class ScratchConfig(PreTrainedConfig):
    """The sizes of a `ScratchEncoder`; `blocks` names its layers in order, each "conv" or "attention"."""

    model_type = "scaffold-scratch"

    def __init__(
        self,
        vocab_size: int = 8000,
        hidden_size: int = 128,
        dropout: float = 0.3,
        blocks: Sequence[str] = BLOCKS,
        num_attention_heads: int = 4,
        feed_forward_ratio: int = 4,
        rotary_base: float = 1000.0,
        type_vocab_size: int = 2,
        match: bool = False,
        ngram_buckets: int = 20_000,
        ngram_features: int = 32,
        ngram_lengths: Sequence[int] = (3, 5),
        pad_token_id: int | None = 0,
        special_ids: Sequence[int] = (0, 1, 2, 3, 4),
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.dropout = dropout
        self.blocks = list(blocks)
        self.num_attention_heads = num_attention_heads
        self.feed_forward_ratio = feed_forward_ratio
        self.rotary_base = rotary_base
        self.type_vocab_size = type_vocab_size
        self.match = match
        self.ngram_buckets = ngram_buckets
        self.ngram_features = ngram_features
        self.ngram_lengths = list(ngram_lengths)
        self.pad_token_id = pad_token_id
        self.special_ids = list(special_ids)
        super().__init__(**kwargs)


class NgramEmbedding(nn.Module):
    """A piece's vector is the sum of its hashed features' vectors; `table` holds the features of every piece."""

    table: Tensor

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(config.ngram_buckets, config.hidden_size, mode="sum", padding_idx=0)
        shape = (config.vocab_size, config.ngram_features)
        self.register_buffer("table", torch.zeros(shape, dtype=torch.int32))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embed ids: (rows, length) -> (rows, length, size)."""
        if input_ids.is_cuda or torch.compiler.is_compiling():
            # `unique` would make a GPU wait for its count, and a compiler break its graph
            return self._embed(input_ids.flatten()).view(*input_ids.shape, -1)
        pieces, places = torch.unique(input_ids, return_inverse=True)
        return F.embedding(places, self._embed(pieces))

    def _embed(self, pieces: Tensor) -> Tensor:
        features = self.table[pieces]
        vectors = self.bag(features)
        return vectors * (features != 0).sum(dim=1, keepdim=True).clamp(min=1).to(vectors.dtype).rsqrt()


class Match(nn.Module):
    """Tells each token of one segment what the other segment holds of it: the same piece, and the nearest content."""

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.special_ids = config.special_ids
        self.same = nn.Embedding(2, size)
        self.query = nn.Linear(size, size, bias=False)
        self.key = nn.Linear(size, size, bias=False)
        self.temperature = nn.Parameter(torch.tensor(10.0))
        self.mix = nn.Linear(2 * size + 1, size)

    def forward(self, hidden: Tensor, input_ids: Tensor, segments: Tensor, mask: Tensor) -> Tensor:
        """Return what to add to the states; zeros where a row has only one segment."""
        other = self._content(input_ids, mask).unsqueeze(1) & (segments.unsqueeze(2) != segments.unsqueeze(1))
        same = (other & (input_ids.unsqueeze(2) == input_ids.unsqueeze(1))).any(dim=2)
        cosine = F.normalize(self.query(hidden), dim=-1) @ F.normalize(self.key(hidden), dim=-1).transpose(1, 2)
        cosine = cosine.masked_fill(~other, -1.0)
        # minus 1e4 is nothing to a softmax, and finite in half precision
        weights = (cosine * self.temperature).masked_fill(~other, -1e4).softmax(dim=-1)
        aligned = weights.to(hidden.dtype) @ hidden
        nearest = cosine.amax(dim=-1, keepdim=True)
        found = self.same(same.long()) + self.mix(torch.cat([hidden - aligned, hidden * aligned, nearest], dim=-1))
        return found * other.any(dim=2, keepdim=True)

    def _content(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        """Return where the tokens are that carry meaning: neither padding nor a special one."""
        content = mask
        for special in self.special_ids:
            content = content & (input_ids != special)
        return content


class ConvBlock(nn.Module):
    """Each token with its two neighbours through one gated linear layer, around a residual connection."""

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.hidden_size)
        self.mix = nn.Linear(3 * config.hidden_size, 2 * config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the new states; a neighbour that is padding counts as zeros, like one beyond the end."""
        inner = self.norm(hidden) * mask.unsqueeze(-1)
        padded = F.pad(inner, (0, 0, 1, 1))
        window = torch.cat([padded[:, :-2], inner, padded[:, 2:]], dim=-1)
        return hidden + self.dropout(F.glu(self.mix(window), dim=-1))


class AttentionBlock(nn.Module):
    """Self-attention with rotary positions (Su et al., 2021), then a feed-forward layer, both pre-norm residual."""

    def __init__(self, config: ScratchConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.base = config.rotary_base
        self.attention_norm = nn.LayerNorm(size)
        self.projections = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)
        self.feed_norm = nn.LayerNorm(size)
        self.widen = nn.Linear(size, config.feed_forward_ratio * size)
        self.narrow = nn.Linear(config.feed_forward_ratio * size, size)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return the new states; no token looks at padding."""
        hidden = hidden + self.dropout(self.output(self._attend(self.attention_norm(hidden), mask)))
        inner = F.gelu(self.widen(self.feed_norm(hidden)))
        return hidden + self.dropout(self.narrow(inner))

    def _attend(self, inner: Tensor, mask: Tensor) -> Tensor:
        rows, length, size = inner.shape
        query, key, value = (
            part.view(rows, length, self.heads, -1).transpose(1, 2) for part in self.projections(inner).chunk(3, dim=-1)
        )
        turn = rotation(length, size // self.heads, self.base, inner.device)
        # no dropout on the weights: it would rule out the fused kernel
        mixed = F.scaled_dot_product_attention(
            rotate(query, turn), rotate(key, turn), value, attn_mask=mask[:, None, None, :]
        )
        return mixed.transpose(1, 2).reshape(rows, length, size)


def rotation(length: int, size: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of every position's angles: twice (length, size / 2)."""
    frequencies = base ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angles = torch.outer(torch.arange(length, device=device, dtype=torch.float32), frequencies)
    return angles.cos(), angles.sin()


def rotate(states: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of features by its position's angle: (…, length, size) -> the same."""
    cosines, sines = (part.to(states.dtype) for part in turn)
    first, second = states.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1)


class ScratchEncoder(PreTrainedModel):
    """A small encoder to train from nothing; inputs of any length, no influence of padding or of other rows."""

    config_class = ScratchConfig
    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: ScratchConfig) -> None:
        check_config(config)
        super().__init__(config)
        self.ngrams = NgramEmbedding(config)
        self.segments = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.input_norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.match = Match(config) if config.match else None
        kinds = {"conv": ConvBlock, "attention": AttentionBlock}
        self.blocks = nn.ModuleList(kinds[name](config) for name in config.blocks)
        self.output_norm = nn.LayerNorm(config.hidden_size)
        self.post_init()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, token_type_ids: Tensor | None = None
    ) -> BaseModelOutput:
        """Encode ids, mask and segments, each (rows, length), into states (rows, length, hidden_size)."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        segments = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        mask = mask.bool()
        hidden = self.dropout(self.input_norm(self.ngrams(input_ids) + self.segments(segments)))
        if self.match is not None:
            hidden = hidden + self.match(hidden, input_ids, segments, mask)
        for block in self.blocks:
            hidden = block(hidden, mask)
        return BaseModelOutput(last_hidden_state=self.output_norm(hidden))

    @torch.no_grad()
    def read_pieces(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Fill the feature table with the pieces of the tokenizer that the encoder will be used with."""
        config = self.config
        lengths = (config.ngram_lengths[0], config.ngram_lengths[1])
        table = ngram_table(tokenizer, config.vocab_size, config.ngram_buckets, config.ngram_features, lengths)
        self.ngrams.table.copy_(table)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # children come first, so that Match overwrites what its linear layers were given
        if isinstance(module, nn.EmbeddingBag):
            init.normal_(module.weight, std=0.1)
            _clear_padding(module.weight)
        elif isinstance(module, nn.Embedding):
            init.zeros_(module.weight)
        elif isinstance(module, nn.Linear | nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, NgramEmbedding):
            init.zeros_(module.table)
        elif isinstance(module, Match):
            init.eye_(module.query.weight)
            init.eye_(module.key.weight)
            init.constant_(module.temperature, 10.0)


def _clear_padding(weight: Tensor) -> None:
    # a weight that was loaded stays as it is: a row taken out of it has lost the flag that says so
    if not getattr(weight, "_is_hf_initialized", False):
        weight[0] = 0.0


def check_config(config: ScratchConfig) -> None:
    """Refuse sizes that make no encoder, with the key and what it may be."""
    for name in config.blocks:
        if name not in BLOCKS:
            raise ConfigError(
                f"unknown block {shown(name)} in `blocks`",
                because=f"the blocks are {' and '.join(BLOCKS)}",
                fix=f"write a list such as {list(BLOCKS)}",
            )
    if config.hidden_size % (2 * config.num_attention_heads):
        raise ConfigError(
            f"hidden_size {config.hidden_size} does not fit {config.num_attention_heads} attention heads",
            because="each head needs an even share of it",
            fix=f"choose a hidden_size that {2 * config.num_attention_heads} divides",
        )

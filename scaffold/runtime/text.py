"""Text to token ids and ids to padded tensors, as every task on texts needs them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

FILLERS = {"token_type_ids": 0, "word_ids": -1, "context_mask": 0}


@dataclass(frozen=True)
class TextOptions:
    """How long texts may be, in tokens: longer ones are cut or divided, shorter ones not trained on."""

    min_length: int = 1
    max_length: int = 256

    def __post_init__(self) -> None:
        if not 1 <= self.min_length <= self.max_length:
            raise ValueError(f"expected 1 <= min_length <= max_length, got {self.min_length} and {self.max_length}")


def encode_text(tokenizer: Any, text: str, pair: str | None = None, *, max_length: int) -> dict[str, Any]:
    """Return the ids of a text, or of a pair, cut to `max_length` tokens.

    `token_type_ids` are there for pairs where the tokenizer has them, `truncated` where something was cut.
    """
    found = tokenizer(text, pair, verbose=False)
    features: dict[str, Any] = {"input_ids": found["input_ids"]}
    if len(features["input_ids"]) > max_length:
        found = tokenizer(text, pair, truncation=True, max_length=max_length)
        features = {"input_ids": found["input_ids"], "truncated": True}
    if pair is not None and "token_type_ids" in found:
        features["token_type_ids"] = found["token_type_ids"]
    return features


def pad_inputs(features: Sequence[dict[str, Any]], tokenizer: Any) -> dict[str, Tensor]:
    """Return input_ids, attention_mask and, of token_type_ids, word_ids and context_mask those that are there.

    Each is (features, longest), padded on the tokenizer's side.
    """
    lengths = np.array([len(row["input_ids"]) for row in features])[:, None]
    places = np.arange(lengths.max())
    mask = places >= len(places) - lengths if tokenizer.padding_side == "left" else places < lengths
    padded = {}
    for key, filler in (("input_ids", tokenizer.pad_token_id), *FILLERS.items()):
        if key in features[0]:
            padded[key] = np.full(mask.shape, filler, dtype=np.int64)
            padded[key][mask] = np.concatenate([row[key] for row in features])
    return {key: torch.from_numpy(array) for key, array in {**padded, "attention_mask": mask.astype(np.int64)}.items()}

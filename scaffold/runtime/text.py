"""Text to token ids and ids to padded tensors, as every task on texts needs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


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
    """Return input_ids, attention_mask and, where there are any, token_type_ids, each (features, longest).

    Padding stands on the tokenizer's side.
    """
    lengths = [len(row["input_ids"]) for row in features]
    width, left = max(lengths), tokenizer.padding_side == "left"
    spans = [slice(width - length, width) if left else slice(0, length) for length in lengths]
    values = {"input_ids": tokenizer.pad_token_id, "token_type_ids": 0}
    padded = {
        key: np.full((len(lengths), width), value, dtype=np.int64) for key, value in values.items() if key in features[0]
    }
    mask = np.zeros((len(lengths), width), dtype=np.int64)
    for row, (span, feature) in enumerate(zip(spans, features, strict=True)):
        mask[row, span] = 1
        for key, array in padded.items():
            array[row, span] = feature[key]
    return {key: torch.from_numpy(array) for key, array in {**padded, "attention_mask": mask}.items()}

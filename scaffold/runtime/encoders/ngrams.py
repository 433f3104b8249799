"""Character n-grams of a tokenizer's pieces, hashed: what lets an encoder without pretraining see inside words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

import torch
from tokenizers import decoders
from transformers import PreTrainedTokenizerFast

_PART_OF_A_CHARACTER = "\N{REPLACEMENT CHARACTER}"


def ngram_table(
    tokenizer: PreTrainedTokenizerFast, size: int, buckets: int, most: int, lengths: tuple[int, int]
) -> torch.Tensor:
    """Return the hashed features of every piece: (size, most) bucket numbers, the rest of each row 0.

    Two features of a piece come first, its lower-cased text and its shape; then character n-grams of `lengths`.
    """
    table = torch.zeros(size, most, dtype=torch.int32, device="cpu")
    special = set(tokenizer.all_special_ids)
    decoder = decoders.ByteLevel()
    for piece, index in tokenizer.get_vocab().items():
        features = [piece] if index in special else _features(piece, decoder, lengths)
        numbers = list(dict.fromkeys(_bucket(feature, buckets) for feature in features))[:most]
        table[index, : len(numbers)] = torch.tensor(numbers, dtype=torch.int32, device="cpu")
    return table


def _bucket(feature: str, buckets: int) -> int:
    # crc32, as Python's own hash of a string differs in every process; 0 is kept for padding
    return 1 + zlib.crc32(feature.encode("utf-8")) % (buckets - 1)


def _features(piece: str, decoder: decoders.Decoder, lengths: tuple[int, int]) -> list[str]:
    text = decoder.decode([piece])
    if _PART_OF_A_CHARACTER in text:
        return [f"byte {piece}"]
    starts_a_word = text.startswith(" ")
    marked = ("<" if starts_a_word else "#") + text.removeprefix(" ").lower()
    return [f"piece {marked}", f"shape {_shape(text.strip())}", *_ngrams(marked + ">", lengths)]


def _ngrams(text: str, lengths: tuple[int, int]) -> Iterator[str]:
    shortest, longest = lengths
    for length in range(shortest, longest + 1):
        for start in range(len(text) - length + 1):
            yield text[start : start + length]


def _shape(text: str) -> str:
    """Return a text with its runs of capitals, small letters and digits written as `X`, `x` and `0`."""
    return re.sub(r"(.)\1+", r"\1", "".join(_kind(character) for character in text))


def _kind(character: str) -> str:
    if character.isdigit():
        return "0"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return character

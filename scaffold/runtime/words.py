"""Words and the pieces that a tokenizer cuts them into: which piece is of which word, and one vector for each word."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from scaffold.errors import ConfigError, listed, shown

Pooling = Literal["mean", "first"]
POOLINGS = get_args(Pooling)


class _Pieces(NamedTuple):
    """A row as the tokenizer sees it: ids and words of its pieces, and the special ids around them."""

    ids: list[int]
    words: list[int]
    before: list[int]
    after: list[int]


def encode_words(tokenizer: Any, words: Sequence[str], *, max_length: int) -> list[dict[str, Any]]:
    """Return the ids of a row's words: one feature, or several windows where the row is longer than `max_length`.

    word_ids: (length,) the word that a piece belongs to, counted from the first of its window; -1 for special pieces
    and for neighbours that a window sees on both sides. Each word belongs to one window and has a piece: the unknown
    one where the tokenizer knows none. `truncated` is there where a single word was too long and lost its end.
    """
    pieces = _cut(tokenizer, words)
    room = max(1, max_length - len(pieces.before) - len(pieces.after))
    if len(pieces.ids) <= room:
        return [_window(pieces, 0, len(pieces.ids), 0, len(words))]
    beside = room // 4
    windows, first = [], 0
    while first < len(words):
        last = _fitting(pieces.words, first, room - 2 * beside)
        windows.append(_around(pieces, first, last, beside, room))
        first = last
    return windows


def pool_words(hidden: Tensor, word_ids: Tensor, pooling: Pooling = "mean") -> Tensor:
    """Return one state per word, the mean of its pieces' or the first's: (rows, length, size) -> (rows, words, size).

    word_ids: (rows, length) as `encode_words` gives them. A row with fewer words than the longest ends in zeros.
    """
    if pooling not in POOLINGS:
        raise _no_pooling(pooling)
    words = torch.arange(int(word_ids.max()) + 1, device=word_ids.device)
    belongs = word_ids.unsqueeze(1) == words.unsqueeze(-1)
    if pooling == "first":
        belongs &= belongs.cumsum(dim=-1) == 1
    weights = belongs.to(hidden.dtype)
    # a product of matrices adds in the same order each time, which scattering does not on a GPU
    return (weights / weights.sum(dim=-1, keepdim=True).clamp(min=1.0)) @ hidden


def words_of_rows(values: Tensor, word_ids: Tensor, owners: np.ndarray | None) -> list[list[Any]]:
    """Return what each word of each row has: (features, words) of a batch, with the windows of a row joined again.

    owners: (features,) the row of each feature, None where each has its own.
    """
    counts = (word_ids.amax(dim=-1) + 1).tolist()
    places = range(len(counts)) if owners is None else owners.tolist()
    rows: list[list[Any]] = [[] for _ in range(max(places, default=-1) + 1)]
    for place, count, found in zip(places, counts, values.tolist(), strict=True):
        rows[place].extend(found[:count])
    return rows


def _no_pooling(pooling: object) -> ConfigError:
    return ConfigError(
        f"words cannot be pooled by {shown(pooling)}",
        because=f"pool_words knows {listed(POOLINGS)}",
        fix="hand it one of these, or make the states of words in the model itself",
        code="config.value",
    )


def _cut(tokenizer: Any, words: Sequence[str]) -> _Pieces:
    # joined, as tokenizers that mark the space before a word were trained on whole texts
    found = tokenizer(" ".join(words), return_offsets_mapping=True, verbose=False)
    inside = [place for place, part in enumerate(found.sequence_ids(0)) if part is not None]
    ids, offsets = found["input_ids"], found["offset_mapping"]
    if not inside:  # all words are of characters that the tokenizer drops
        special = found["input_ids"]
        return _Pieces([_unknown(tokenizer)] * len(words), list(range(len(words))), special[:1], special[1:])
    begin, end = inside[0], inside[-1] + 1
    owners = _owners(np.array(offsets[begin:end]), words)
    kept_ids, kept_words = _complete(ids[begin:end], owners.tolist(), len(words), _unknown(tokenizer))
    return _Pieces(kept_ids, kept_words, ids[:begin], ids[end:])


def _owners(offsets: np.ndarray, words: Sequence[str]) -> np.ndarray:
    """Return the word in which each piece ends, -1 for a piece of nothing but the space between two words."""
    lengths = np.array([len(word) for word in words])
    ends = np.cumsum(lengths + 1) - 1
    last = np.maximum(offsets[:, 1] - 1, offsets[:, 0])  # a piece that is only the mark of a space has no width
    owners = np.searchsorted(ends, last, side="right").clip(max=len(words) - 1)
    return np.where((last >= ends[owners] - lengths[owners]) & (last < ends[owners]), owners, -1)


def _complete(ids: list[int], owners: list[int], count: int, unknown: int) -> tuple[list[int], list[int]]:
    """Leave out pieces of no word, and give an unknown piece to each word that has none."""
    missing = sorted(set(range(count)).difference(owners))
    pairs = [(owner, piece) for owner, piece in zip(owners, ids, strict=True) if owner >= 0]
    if missing:
        pairs = sorted([*pairs, *[(word, unknown) for word in missing]], key=lambda pair: pair[0])
    return [piece for _, piece in pairs], [owner for owner, _ in pairs]


def _unknown(tokenizer: Any) -> int:
    known = (tokenizer.unk_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return next((number for number in known if number is not None), 0)


def _fitting(words: Sequence[int], first: int, room: int) -> int:
    """Return the word before which a window that begins with `first` must end."""
    begin = bisect_left(words, first)
    if begin + room >= len(words):
        return words[-1] + 1
    return max(words[begin + room], first + 1)


def _around(pieces: _Pieces, first: int, last: int, beside: int, room: int) -> dict[str, Any]:
    """Return the window of some words with their neighbours on both sides."""
    begin, end = bisect_left(pieces.words, first), bisect_left(pieces.words, last)
    if end - begin > room - 2 * beside:
        return _window(pieces, begin, begin + room, first, last) | {"truncated": True}
    start = max(0, min(begin - beside, len(pieces.ids) - room))
    return _window(pieces, start, start + room, first, last)


def _window(pieces: _Pieces, start: int, stop: int, first: int, last: int) -> dict[str, Any]:
    words = [word - first if first <= word < last else -1 for word in pieces.words[start:stop]]
    return {
        "input_ids": [*pieces.before, *pieces.ids[start:stop], *pieces.after],
        "word_ids": [*[-1] * len(pieces.before), *words, *[-1] * len(pieces.after)],
    }

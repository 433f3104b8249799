"""A question and a context of any length as windows that overlap, and the places of an answer in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scaffold.errors import shown
from scaffold.runtime.samples import BadRow

Array = npt.NDArray[Any]
QUESTION_SHARE = 2  # of a window, a question takes at most one part of so many


def encode_windows(
    tokenizer: Any, question: str, context: str, *, max_length: int, stride: int
) -> list[dict[str, Any]]:
    """Return a question with its context, in windows of at most `max_length` tokens that share `stride` of the context.

    offsets: (length, 2) the characters of the context that a token stands for, the end exclusive; 0, 0 where it stands
    for none. context_mask: (length,) where an answer may stand: in the context, and at a place that means "none here".
    token_type_ids are there where the tokenizer has them, `truncated` where a long question was cut. Raises BadRow.
    """
    found = tokenizer(question, context, return_offsets_mapping=True, verbose=False)
    part = np.array([-1 if place is None else place for place in found.sequence_ids()])
    offsets = np.where(part[:, None] == 1, np.array(found["offset_mapping"]), 0)
    offsets[offsets[:, 0] >= offsets[:, 1]] = 0
    if not offsets.any():
        raise BadRow(f"expected a context that the tokenizer can read, got {shown(context)}")
    columns: dict[str, Any] = {key: np.array(found[key]) for key in ("input_ids", "token_type_ids") if key in found}
    columns |= {"offsets": offsets, "context_mask": offsets[:, 1] > 0}
    columns["context_mask"][_null_place(columns["input_ids"], tokenizer)] = True
    windows = [
        {key: values[places] for key, values in columns.items()} for places in _windows(part, max_length, stride)
    ]
    if np.count_nonzero(part == 0) > max_length // QUESTION_SHARE and len(part) > max_length:
        windows[0]["truncated"] = True
    return windows


def place_answer(windows: Sequence[dict[str, Any]], span: tuple[int, int] | None, tokenizer: Any) -> None:
    """Give each window `start_positions` and `end_positions`: the answer's first and last token.

    A window that has not all of the answer points at the place that means "none here". Raises BadRow.
    """
    inside = [_touched(window["offsets"], span) for window in windows]
    pieces = [window["offsets"][places] for window, places in zip(windows, inside, strict=True)]
    if span is not None and not any(map(len, pieces)):
        raise BadRow("expected an answer that the tokenizer can read, got one of which it keeps nothing")
    first = min((piece[0, 0] for piece in pieces if len(piece)), default=0)
    last = max((piece[-1, 1] for piece in pieces if len(piece)), default=0)
    for window, places, piece in zip(windows, inside, pieces, strict=True):
        whole = len(piece) > 0 and (piece[0, 0], piece[-1, 1]) == (first, last)
        null = _null_place(window["input_ids"], tokenizer)
        window["start_positions"] = int(places[0]) if whole else null
        window["end_positions"] = int(places[-1]) if whole else null


def _touched(offsets: Array, span: tuple[int, int] | None) -> Array:
    start, end = span or (0, 0)
    return np.flatnonzero((offsets[:, 1] > start) & (offsets[:, 0] < end))


def _null_place(input_ids: Array, tokenizer: Any) -> int:
    return int((input_ids == tokenizer.cls_token_id).argmax())  # the first place where there is no such token


def _windows(part: Array, max_length: int, stride: int) -> list[Array]:
    """Return the places that make each window: what is around the context in all of them, and a stretch of it."""
    if len(part) <= max_length:
        return [np.arange(len(part))]
    context, kept = np.flatnonzero(part == 1), np.ones(len(part), dtype=bool)
    kept[np.flatnonzero(part == 0)[max_length // QUESTION_SHARE :]] = False
    before, after = (np.flatnonzero(kept & side) for side in _sides(len(part), context))
    room = max_length - len(before) - len(after)
    step = max(1, room - stride)
    starts = range(0, max(1, len(context) - room + step), step)
    return [np.concatenate([before, context[start : start + room], after]) for start in starts]


def _sides(length: int, context: Array) -> tuple[Array, Array]:
    places = np.arange(length)
    return places < context[0], places > context[-1]

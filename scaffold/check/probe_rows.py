"""Rows for a model that has none of its own: a few, of different lengths, that a sound model can learn by heart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from scaffold.runtime.contracts import IGNORED, Contract

LENGTHS = (6, 9, 4, 8, 7)
ROWS = len(LENGTHS)
TargetKind = Literal["index", "several", "number"]


@dataclass(frozen=True)
class Sizes:
    """What rows must keep to. special: token ids that mean something and are no content. end: closes every row."""

    vocabulary: int = 8
    classes: int = 2
    types: int = 2
    pad_id: int = 0
    special: frozenset[int] = frozenset()
    end: int | None = None
    image: tuple[int, int] = (3, 32)
    kind: TargetKind = "index"

    @property
    def usable(self) -> np.ndarray:
        """Return the token ids that may stand for content."""
        ids = [one for one in range(self.vocabulary) if one != self.pad_id and one not in self.special]
        return np.array(ids or range(max(1, self.vocabulary)))


@dataclass(frozen=True)
class SyntheticRows:
    """Rows of one family; `batch` pads some of them to one length, as the family's collate would."""

    contract: Contract
    sizes: Sizes
    keys: frozenset[str]
    lengths: Sequence[int] = field(default=LENGTHS)

    def batch(self, rows: Sequence[int], number: int = 0) -> dict[str, Any]:
        """Return the labelled batch of some rows; another round has other contents."""
        made = [_ROWS[self.contract.family](self, row, np.random.default_rng([number, row])) for row in rows]
        return {key: self._stacked(key, [row[key] for row in made]) for key in made[0] if key in self.keys}

    def ids(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Return random content of the row's length; the first token tells which class the row is of."""
        usable = self.sizes.usable
        ids = rng.choice(usable, self.lengths[row])
        ids[0] = usable[row % len(usable)]
        if self.sizes.end is not None:
            ids[ids == self.sizes.end] = usable[0]
            ids[-1] = self.sizes.end
        return ids

    def chain(self, row: int, length: int) -> np.ndarray:
        """Return ids of which each tells the next."""
        usable = self.sizes.usable
        return usable[(row * 11 + np.arange(length)) % len(usable)]

    def _stacked(self, key: str, values: list[np.ndarray]) -> Tensor:
        if np.ndim(values[0]) != 1 or key not in self.contract.shapes or len(self.contract.shapes[key]) < 2:
            return torch.from_numpy(np.stack(values))
        fill = self.sizes.pad_id if key == "input_ids" else self.contract.padding.get(key, 0)
        if key in self.contract.targets:
            fill = self.contract.ignore_index or 0
        padded = np.full((len(values), max(map(len, values))), fill, dtype=np.int64)
        for line, value in zip(padded, values, strict=True):
            line[: len(value)] = value
        return torch.from_numpy(padded)


def text(ids: np.ndarray) -> dict[str, np.ndarray]:
    """Return what every text has."""
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


def row_target(rows: SyntheticRows, row: int) -> np.ndarray:
    """Return the target of a whole row: an index, several zeros and ones, or a number."""
    classes = max(1, rows.sizes.classes)
    if rows.sizes.kind == "several":
        return (np.arange(classes) % ROWS == row % classes).astype(np.float32)
    if rows.sizes.kind == "number":
        return np.array(row % 2, dtype=np.float32)
    return np.array(row % classes, dtype=np.int64)


def _sequence(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return text(rows.ids(row, rng)) | {"labels": row_target(rows, row)}


def _pair(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    found = _sequence(rows, row, rng)
    found["token_type_ids"][len(found["input_ids"]) // 2 :] = min(1, rows.sizes.types - 1)
    return found


def _tokens(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    ids = rows.ids(row, rng)
    inner = np.arange(1, len(ids) - 1)
    words = np.full_like(ids, -1)
    words[inner] = (inner - 1) // 2
    if "words" in rows.contract.shapes["labels"]:
        ids[inner] = ids[inner - 1 + inner % 2]  # two equal pieces to a word, so that any of them tells its class
    classes = np.searchsorted(rows.sizes.usable, ids) % rows.sizes.classes
    labels = np.full_like(ids, IGNORED)
    labels[inner] = classes[inner]
    if "words" in rows.contract.shapes["labels"]:
        labels = labels[inner][::2]
    return text(ids) | {"word_ids": words, "labels": labels}


def _qa(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    ids, usable = rows.ids(row, rng), rows.sizes.usable
    start = 1 + row % 2
    end = min(start + 1 + row % 2, len(ids) - 1)
    ids[np.isin(ids, usable[:2])] = usable[-1]
    ids[start], ids[end] = usable[0], usable[1 % len(usable)]
    return text(ids) | {"start_positions": np.array(start), "end_positions": np.array(end)}


def _generation(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    ids = rows.ids(row, rng)
    target = rows.chain(row, 3 + row % 3)
    ids[0] = target[0]
    return text(ids) | {"labels": np.minimum(target, rows.sizes.classes - 1)}


def _language_model(rows: SyntheticRows, row: int, _: np.random.Generator) -> dict[str, np.ndarray]:
    ids = rows.chain(row, rows.lengths[row])
    return text(ids) | {"labels": np.minimum(ids, rows.sizes.classes - 1)}


def _masked(rows: SyntheticRows, row: int, _: np.random.Generator) -> dict[str, np.ndarray]:
    ids = rows.chain(row, rows.lengths[row])
    hidden = np.arange(len(ids)) % 3 == 1
    labels = np.where(hidden, np.minimum(ids, rows.sizes.classes - 1), IGNORED)
    return text(np.where(hidden, rows.sizes.usable[-1], ids)) | {"labels": labels}


def _image(rows: SyntheticRows, row: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    channels, size = rows.sizes.image
    pixels = rng.standard_normal((channels, size, size)).astype(np.float32)
    pixels[:, : size // 2] += row - 2  # the upper half tells which row it is
    return {rows.contract.inputs[0]: pixels, "labels": row_target(rows, row)}


_ROWS = {
    "sequence": _sequence,
    "sentence-pair": _pair,
    "tokens": _tokens,
    "qa": _qa,
    "generation": _generation,
    "language-model": _language_model,
    "masked-language-model": _masked,
    "image": _image,
}

"""Encoded rows as flat arrays of numbers: built once, in a file where they are large, and cheap to take one from."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from scaffold.errors import listed, shown
from scaffold.runtime.growing import GrowingArray

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[Any]
Features = Mapping[str, Any]
SPOOL_ABOVE = 32 << 20
BLOCK = 1 << 15
# kind of number -> how values are gathered, and what they come back as; a column moves up when a wider kind comes
KINDS = {"b": ("B", np.bool_), "u": ("B", np.uint8), "i": ("q", np.int64), "f": ("d", np.float32)}


class FeatureStore(Sequence[dict[str, Any]]):
    """What rows became: `store[i]` is one feature, a dict of numbers and of arrays, which are the caller's own.

    Whole numbers come back as int64, others as float32; bool and uint8 arrays stay what they are. They are held in the
    narrowest type that fits, and arrays above `spool_above` bytes in an unnamed file that is mapped into memory.
    lengths: (features,) by `length`, else of the longest 1-D entry, 1 without any. owners: (features,) the rows.
    """

    def __init__(
        self,
        items: Iterable[tuple[int, Iterable[Features]]],
        spool_above: int = SPOOL_ABOVE,
        length: Callable[[Any], int] | None = None,
    ) -> None:
        columns: dict[str, _Column] = {}
        owners, lengths = array("q"), array("i")
        for row, several in items:
            for features in several:
                if not owners:
                    columns = {name: _Column(name, value, spool_above) for name, value in features.items()}
                elif features.keys() != columns.keys():
                    raise ValueError(f"Expected the features {listed(columns)} of every row, got {listed(features)}.")
                longest = max([1, *[columns[name].add(value) for name, value in features.items()]])
                lengths.append(length(features) if length else longest)
                owners.append(row)
        self._columns = {name: column.finish() for name, column in columns.items()}
        self.lengths = np.array(lengths, dtype=np.int32)
        self.owners = np.array(owners, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.owners)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return self.take(range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"Expected an index below {len(self)}, got {index}.")
        return {name: column.value(index % len(self)) for name, column in self._columns.items()}

    def take(self, indices: Iterable[int]) -> list[dict[str, Any]]:
        """Return the features at these indices."""
        columns = [(name, column.value) for name, column in self._columns.items()]
        return [{name: value(index) for name, value in columns} for index in indices]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the entries that every feature has."""
        return tuple(self._columns)

    @property
    def nbytes(self) -> int:
        """How many bytes the values take, in memory or in files."""
        return sum(column.values.nbytes for column in self._columns.values())


def pad(sequences: Sequence[Any], value: float, dtype: torch.dtype) -> torch.Tensor:
    """Return sequences as one tensor (sequences, longest, ...), filled up on the right with `value`."""
    # here, because reading and encoding need no torch
    import torch

    longest = max(map(len, sequences), default=0)
    tail = np.shape(sequences[0])[1:] if len(sequences) else ()
    padded = np.full((len(sequences), longest, *tail), value, dtype=_numpy_type(dtype))
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(padded).to(dtype)


def _numpy_type(dtype: torch.dtype) -> Any:
    name = str(dtype).removeprefix("torch.")
    return np.dtype("float32" if name == "bfloat16" else name)


class _Scalars:
    """One number per feature."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def value(self, index: int) -> float:
        return self.values.item(index)  # type: ignore[no-any-return]


class _Arrays:
    """One array per feature, of any length; `tail` is the shape of each of its items."""

    def __init__(self, values: Array, ends: array[int], tail: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self.values = values
        starts = np.zeros(len(ends) + 1, dtype=np.uint32 if len(values) < 1 << 32 else np.int64)
        starts[1:] = ends
        self.starts = starts
        self.tail = tail
        self.dtype = dtype

    def value(self, index: int) -> Array:
        # a copy, wide enough to reckon with: a task may write into what it is given
        found = self.values[self.starts.item(index) : self.starts.item(index + 1)].astype(self.dtype)
        return found.reshape(-1, *self.tail) if self.tail else found


class _Column:
    """One entry of all features while they are gathered."""

    def __init__(self, name: str, first: Any, spool_above: int) -> None:
        self.name = name
        self.kind = _kind_of(name, first)
        self.scalar = np.ndim(first) == 0
        self.tail = np.shape(first)[1:]
        self.ends = array("q")
        self.count = 0
        self.pending = array(KINDS[self.kind][0])
        self.values = GrowingArray(np.int8 if self.kind == "i" else KINDS[self.kind][1], spool_above)

    def add(self, value: Any) -> int:
        """Take the value of the next feature and return its length, 1 unless it is a 1-D array."""
        if len(self.pending) > BLOCK:
            self._flush()
        if self.scalar:
            self._take([value.item() if hasattr(value, "item") else value], value)
            return 1
        length = self._extend(value)
        self.ends.append(self.count)
        return 1 if self.tail else length

    def finish(self) -> _Scalars | _Arrays:
        """Return the entry of all features, ready to be read."""
        self._flush()
        values = self.values.finish()
        return _Scalars(values) if self.scalar else _Arrays(values, self.ends, self.tail, KINDS[self.kind][1])

    def _extend(self, value: Any) -> int:
        if isinstance(value, (list, tuple)) and not self.tail:
            self._take(value, value)
            self.count += len(value)
        else:
            value = self._as_array(value)
            self.pending.frombytes(value.astype(self.pending.typecode).tobytes())
            self.count += value.size
        return len(value)

    def _take(self, numbers: Sequence[Any], value: Any) -> None:
        held = len(self.pending)
        try:
            self.pending.extend(numbers)
        except (TypeError, OverflowError):
            del self.pending[held:]
            self._become(self._wider(numbers, value))
            self.pending.extend(numbers)

    def _as_array(self, value: Any) -> Array:
        found = np.asarray(value)
        kind = _kind_of(self.name, found)
        if found.shape[1:] != self.tail or not found.ndim:
            raise ValueError(f"Expected '{self.name}' of shape ({listed(['any', *self.tail])}), got {found.shape}.")
        if list(KINDS).index(kind) > list(KINDS).index(self.kind):
            self._become(kind)
        return found

    def _wider(self, numbers: Sequence[Any], value: Any) -> str:
        kinds = list(KINDS)
        whole = all(isinstance(number, int) for number in numbers)
        for kind in kinds[kinds.index(self.kind) + 1 : 3 if whole else None]:
            try:
                array(KINDS[kind][0], numbers)
            except (TypeError, OverflowError):
                continue
            return kind
        raise ValueError(f"Expected numbers of at most 64 bits in '{self.name}', got {shown(value)}.")

    def _become(self, kind: str) -> None:
        self._flush()
        self.kind = kind
        self.pending = array(KINDS[kind][0])
        self.values.convert(np.int16 if kind == "i" else KINDS[kind][1])

    def _flush(self) -> None:
        self.values.append(np.frombuffer(self.pending, dtype=self.pending.typecode))
        self.pending = array(self.pending.typecode)


def _kind_of(name: str, value: Any) -> str:
    found = np.asarray(value)
    if found.dtype == np.uint8:
        return "u"
    if not found.size or (found.dtype.kind == "b" and not isinstance(value, np.ndarray)):
        return "i"
    if found.dtype.kind in "biuf":
        return "i" if found.dtype.kind == "u" else found.dtype.kind
    raise ValueError(f"Expected numbers of at most 64 bits in '{name}', got {shown(value)}.")

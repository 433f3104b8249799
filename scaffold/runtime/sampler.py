"""Which rows make a batch: rows of like length, at most so many padded tokens, and the same plan in every process."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scaffold.errors import ConfigError, Where

Array = npt.NDArray[Any]
GRID_STEP = 1.1
BATCHES_PER_BUCKET = 4
WIDEST_BUCKET, SLACK = 1.5, 4


class BatchKey(NamedTuple):
    """One batch: the epoch, its number on this rank in it, and the features that it holds."""

    epoch: int
    number: int
    indices: Array


class BatchPlan:
    """A sampler of batches, for a DataLoader with `batch_size=None`; its order follows from (seed, epoch) alone.

    lengths: (features,) tokens. batch_size caps the features of a batch, max_tokens its features times its longest one;
    a feature that is longer is alone. groups: (features,) ids; what shares an id shares a batch, whatever its size.
    Every feature comes once over all ranks, and all ranks have equally many batches, the same number in each epoch. Two
    exceptions: fewer features than ranks (a training repeats some, else some ranks have none), and single features
    that do not divide among the ranks (the shortest are joined). `shuffle=False` goes from long to short.
    """

    def __init__(
        self,
        lengths: npt.ArrayLike,
        *,
        batch_size: int | None = None,
        max_tokens: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        groups: npt.ArrayLike | None = None,
    ) -> None:
        limits = _Limits(batch_size, max_tokens)
        self.shuffle, self.seed = shuffle, seed
        self.rank, self.world_size = rank, world_size
        self.epoch = 0
        self._done: tuple[int, int] = (0, 0)
        sizes = np.maximum(np.asarray(lengths, dtype=np.int32), 1)
        self._units = _Units(sizes) if groups is None else _Units.grouped(sizes, np.asarray(groups))
        self._buckets, bounds = _bucketed(self._units, limits, shuffle)
        cuts = _cut(self._units, self._buckets, bounds, limits)
        self._batches = _even(cuts, world_size, repeat=shuffle)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the iterations that begin after this."""
        self.epoch = epoch

    def start_at(self, epoch: int, batches: int) -> None:
        """Go on in an epoch after so many of its batches; later epochs are whole."""
        self.epoch, self._done = epoch, (epoch, batches)

    def __len__(self) -> int:
        return len(range(self.rank, len(self._batches), self.world_size))

    def __iter__(self) -> Iterator[BatchKey]:
        # not a generator itself: what was set before the iteration began must hold, whenever its first batch is taken
        epoch, batches = self._done
        return self._keys(self.epoch, batches if self.epoch == epoch else 0)

    def _keys(self, epoch: int, skip: int) -> Iterator[BatchKey]:
        order = self._order(epoch)
        for number, step in enumerate(self._steps(epoch)[skip:], start=skip):
            begin, end = self._batches[step * self.world_size + self.rank]
            yield BatchKey(epoch, number, self._units.features(order[begin:end]))

    def _order(self, epoch: int) -> Array:
        if self.shuffle:
            return shuffled(len(self._buckets), self.seed, epoch, 0, within=self._buckets)
        return np.argsort(self._buckets, kind="stable")

    def _steps(self, epoch: int) -> list[int]:
        steps = shuffled(len(self), self.seed, epoch, 1) if self.shuffle else np.arange(len(self))
        return list(steps.tolist())


def shuffled(count: int, *seed: int, within: Array | None = None) -> Array:
    """Return 0..count-1 in an order that follows from the seed alone, and sorted by `within` (small integers)."""
    # sorting raw bits and not `permutation`: numpy promises the bits of a generator, but not what it makes of them
    keys = np.random.PCG64(list(seed)).random_raw(count)
    if within is not None:
        keys >>= np.uint64(24)
        keys |= within.astype(np.uint64) << np.uint64(40)
    return np.argsort(keys, kind="stable")


@dataclass(frozen=True)
class _Limits:
    """What a batch may hold."""

    batch_size: int | None
    max_tokens: int | None

    def __post_init__(self) -> None:
        given = [limit for limit in (self.batch_size, self.max_tokens) if limit is not None]
        if not given or min(given) < 1:
            raise ConfigError(
                "The size of a batch is not set.",
                because=f"expected batch_size or max_tokens of at least 1, got {self.batch_size} and {self.max_tokens}",
                fix="set data.batch_size=32 or data.max_tokens=4096",
                where=Where(key="data.batch_size"),
            )

    def features(self, bound: int) -> int:
        """Return how many features of at most so many tokens a batch holds."""
        by_tokens = max(1, self.max_tokens // bound) if self.max_tokens else self.batch_size
        return min(by_tokens, self.batch_size or by_tokens)  # type: ignore[type-var,return-value]


@dataclass(frozen=True)
class _Units:
    """What is kept together: single features, or groups of them with the length of their longest."""

    lengths: Array
    counts: Array | None = None
    members: Array | None = None
    starts: Array | None = None

    @classmethod
    def grouped(cls, lengths: Array, groups: Array) -> _Units:
        members = np.argsort(groups, kind="stable")
        _, starts = np.unique(groups[members], return_index=True)
        if len(starts) == len(members):
            return cls(lengths)
        longest = np.maximum.reduceat(lengths[members], starts)
        counts = np.diff(np.append(starts, len(members)))
        return cls(longest, counts, members, starts)

    def features(self, units: Array) -> Array:
        """Return the features of these units."""
        if self.members is None or self.starts is None or self.counts is None:
            return units
        ends = self.starts + self.counts
        return np.concatenate([self.members[self.starts[unit] : ends[unit]] for unit in units])


def _bucketed(units: _Units, limits: _Limits, shuffle: bool) -> tuple[Array, list[int]]:
    """Return (units,) bucket numbers, from long to short, and the longest length in each bucket.

    In training a bucket is wide enough to mix the rows of a few batches; all its units have as many features.
    """
    counts = np.ones(1, dtype=np.int64) if units.counts is None else units.counts.astype(np.int64)
    widest = int(counts.max(initial=1))
    cells = _on_grid(units.lengths) if shuffle else units.lengths.astype(np.int64)
    keys, buckets = np.unique(-(cells * (widest + 1) + counts), return_inverse=True)
    bounds = np.zeros(len(keys), dtype=np.int64)
    np.maximum.at(bounds, buckets, units.lengths)
    if shuffle:
        joined = _joined(np.bincount(buckets), bounds.tolist(), (-keys % (widest + 1)).tolist(), limits)
        buckets = joined[buckets]
        bounds = bounds[np.unique(joined, return_index=True)[1]]
    return buckets.astype(np.int32), bounds.tolist()


def _on_grid(lengths: Array) -> Array:
    grid = [1]
    while grid[-1] < lengths.max(initial=1):
        grid.append(max(grid[-1] + 1, int(grid[-1] * GRID_STEP)))
    return np.searchsorted(grid, lengths)


def _joined(sizes: Array, bounds: list[int], counts: list[int], limits: _Limits) -> Array:
    """Return the new number of each bucket, where small neighbours become one."""
    numbers: list[int] = []
    held, first = 0, 0
    for bucket, size in enumerate(sizes.tolist()):
        enough = held * counts[first] >= BATCHES_PER_BUCKET * limits.features(bounds[first])
        alike = counts[bucket] == counts[first] and bounds[bucket] * WIDEST_BUCKET + SLACK >= bounds[first]
        if bucket and (enough or not alike):
            held, first = 0, bucket
        held += size
        numbers.append(numbers[-1] + (first == bucket) if numbers else 0)
    return np.asarray(numbers, dtype=np.int64)


def _cut(units: _Units, buckets: Array, bounds: list[int], limits: _Limits) -> Array:
    """Return (batches, 2) where each begins and ends among the units sorted by bucket; every epoch has the same."""
    ends = np.cumsum(np.bincount(buckets)).tolist()
    total = None if units.counts is None else np.cumsum(units.counts[np.argsort(buckets, kind="stable")])
    cuts = [0]
    while cuts[-1] < len(buckets):
        here = cuts[-1]
        most = limits.features(bounds[bisect_right(ends, here)])
        if total is not None:
            before = int(total[here - 1]) if here else 0
            most = max(1, int(np.searchsorted(total, before + most, side="right")) - here)
        cuts.append(min(here + most, len(buckets)))
    return np.stack([cuts[:-1], cuts[1:]], axis=1).astype(np.int64)


def _even(batches: Array, ranks: int, repeat: bool) -> Array:
    """Return batches whose number the ranks divide: the largest are split, else the shortest units joined."""
    while len(batches) % ranks:
        sizes = batches[:, 1] - batches[:, 0]
        largest = int(sizes.argmax())
        if sizes[largest] == 1:
            return _even_singles(batches, ranks, repeat)
        begin, end = batches[largest]
        middle = (begin + end) // 2
        batches = np.concatenate([batches[:largest], [(begin, middle), (middle, end)], batches[largest + 1 :]])
    return batches


def _even_singles(batches: Array, ranks: int, repeat: bool) -> Array:
    if len(batches) < ranks:
        return np.resize(batches, (ranks, 2)) if repeat else batches
    pairs = len(batches) % ranks
    tail = batches[-2 * pairs :]
    return np.concatenate([batches[: -2 * pairs], np.stack([tail[::2, 0], tail[1::2, 1]], axis=1)])

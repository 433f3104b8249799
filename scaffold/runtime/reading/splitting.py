"""One file for all splits: rows are divided at random but always alike, and by label where they have one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from scaffold.errors import ConfigError, DataError, Where, listed, shown
from scaffold.runtime.reading.rows import Rows
from scaffold.runtime.sampler import shuffled

Indices = npt.NDArray[np.int64]


class Strata:
    """The label of each row, of which every split gets its share."""

    def __init__(self, labels: Iterable[object]) -> None:
        known: dict[str, int] = {}
        self.numbers = np.fromiter((known.setdefault(str(label), len(known)) for label in labels), dtype=np.int32)
        self.names = list(known)

    def spread(self, order: Indices, seed: int) -> Indices:
        """Return an order of rows in which those of a label lie evenly apart, its first one in front of all others."""
        numbers = self.numbers[order]
        counts = np.bincount(numbers)
        by_label = np.argsort(numbers, kind="stable")
        places = np.empty(len(order))
        places[by_label] = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        # labels begin at different distances: else the rare ones would all be cut at the same place
        begins = shuffled(len(counts), seed)[numbers] / len(counts)
        keys = np.where(places == 0, -1, (places + begins) / counts[numbers])
        return order[np.argsort(keys, kind="stable")]

    def absent(self, rows: Rows) -> list[str]:
        """Return the labels that none of some rows has."""
        there = set(self.numbers[rows.positions].tolist())
        return [name for number, name in enumerate(self.names) if number not in there]


def split_rows(
    rows: Rows, fractions: Mapping[str, float], seed: int = 0, strata: Strata | None = None
) -> dict[str, Rows]:
    """Divide rows at random but always alike; each split gets at least one row and keeps the order of the file.

    strata: each split gets its share of every label, in whole rows; the first one has a row of each.
    """
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(
            "The data cannot be divided so.",
            because=f"expected fractions above 0 that add up to 1, got {shown(dict(fractions))}",
            fix="set data.split, for example to {train: 0.8, validation: 0.1, test: 0.1}",
            where=Where(key="data.split"),
        )
    if len(rows) < len(fractions):
        raise DataError(
            "There are too few rows to divide.",
            because=f"expected at least one row for each of {listed(fractions)}, got {len(rows)}",
            fix="add rows",
            where=Where(file=str(rows.files[0])),
            code="data.splits",
        )
    edges = _edges(list(fractions.values()), len(rows))
    order = shuffled(len(rows), seed)
    order = strata.spread(order, seed) if strata else order
    parts = zip(fractions, edges, edges[1:], strict=False)
    return {name: rows.take(np.sort(order[begin:end])) for name, begin, end in parts}


def _edges(fractions: list[float], count: int) -> list[int]:
    sizes = [max(1, round(count * fraction)) for fraction in fractions]
    # the largest split bears what rounding leaves over
    sizes[sizes.index(max(sizes))] += count - sum(sizes)
    return [sum(sizes[:place]) for place in range(len(sizes) + 1)]

"""Whether the same rows always give the same output."""

from __future__ import annotations

from dataclasses import dataclass

from scaffold.check.probe_batches import count_rows, taken, without_targets
from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import SEED
from scaffold.check.probe_compare import difference

STATE, RANDOM = 1e-4, 1e-6


@dataclass(frozen=True)
class Repeats:
    """How much an output changes when nothing but the seed does, and when another batch came in between."""

    by_chance: float
    by_state: float

    @property
    def steady(self) -> bool:
        """Return whether the same rows always give the same output."""
        return self.by_chance <= RANDOM and self.by_state <= STATE


def repeats(bench: Bench) -> Repeats:
    """Run the same rows several times in evaluation mode, and others in between."""
    model = bench.fresh()
    twin, third = bench.like(model), bench.like(model)
    rows = bench.unlabelled
    # other rows in another order: their masks are of the same shape, and differ
    other = taken(without_targets(bench.round(1), bench.contract), list(reversed(range(count_rows(bench.batch)))))
    first, again, after, last = (bench.scores(model, batch) for batch in (rows, rows, other, rows))
    state = max(difference(first, again), difference(first, last), difference(after, bench.scores(twin, other)))
    if state > STATE:
        is_chance = difference(first, bench.scores(third, rows)) > STATE
        return Repeats(state, 0.0) if is_chance else Repeats(0.0, state)
    return Repeats(difference(first, bench.scores(model, rows, SEED + 1)), state)

"""Whether a generator that has learnt a few rows by heart begins to write them as `forward` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_call import SEED, attempt
from scaffold.check.probe_rows import ROWS
from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import entry

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

FIRST = 8  # tokens of a text are written
ENOUGH = 2  # rows that are known by heart
BEGUN = 2  # of them in a row must be the target's
BEFORE = 2  # tokens of a target may be given and not written, such as its language
GREEDY = {"max_new_tokens": FIRST, "num_beams": 1, "num_return_sequences": 1, "do_sample": False}


def begins_otherwise(probe: Probe) -> bool:
    """Return whether no row is begun with its target, of those that the scores of each next token begin so.

    What is drawn at random is no sign of anything, and nor is a model that gives no token ids.
    """
    model = probe.learning.model
    known = _begun_by_scores(probe, model) if model is not None and "labels" in probe.batch else []
    if model is None or len(known) < ENOUGH:
        return False
    writer = _greedy(probe.like(model))
    written = _written(probe, writer, SEED)
    if written is None or any(_is_begun(probe.batch["labels"][row].tolist(), written[row].tolist()) for row in known):
        return False
    again = _written(probe, writer, SEED + 1)
    return again is not None and torch.equal(written, again)


def _begun_by_scores(probe: Probe, model: nn.Module) -> list[int]:
    """Return the rows whose first tokens are those that score highest."""
    labels = probe.batch["labels"]
    best = entry(probe.call(probe.batch, model=model).get(), "logits").argmax(dim=-1)
    right = (best == labels) | (labels == probe.contract.ignore_index)
    return [row for row, one in enumerate(right[:, : BEGUN + BEFORE].all(dim=1).tolist()) if one]


def _written(probe: Probe, model: nn.Module, seed: int) -> Tensor | None:
    """Return the first ids that are written for each row, (rows, ids); None where it gives something else."""
    given = probe.rows.batch(range(ROWS))
    kept = {key: value for key, value in given.items() if key not in probe.contract.targets}
    batch = Batch(kept, given.samples)  # type: ignore[attr-defined]

    def write() -> Any:
        with torch.no_grad():
            return model.eval().infer(batch)  # type: ignore[operator]

    found = entry(attempt("infer", write, seed).get(), "sequences")
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) % ROWS:
        return None
    return found[:: len(found) // ROWS]


def _greedy(model: Any) -> nn.Module:
    """Have the model write the likeliest tokens, and few; where its task has no such options it does as it does."""
    context = model.context
    if "generation" in {one.name for one in fields(context.options)}:
        options = replace(context.options, generation=GREEDY)
        model.recipe = replace(model.recipe, context=replace(context, options=options))
    return model  # type: ignore[no-any-return]


def _is_begun(target: Sequence[int], written: Sequence[int]) -> bool:
    """Return whether two tokens of the beginning of a target follow each other at the beginning of what is written."""
    target = [one for one in target if one >= 0]
    size = min(BEGUN, len(target))
    found = [written[place : place + size] for place in range(FIRST)]
    return any(target[place : place + size] in found for place in range(min(BEFORE, len(target) - size) + 1))

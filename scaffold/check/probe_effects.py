"""What an output depends on: each experiment changes one thing that should not matter, and measures what it does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_batches import (
    count_rows,
    lengthened,
    other_targets,
    shortened,
    taken,
    trimmed,
    without_targets,
)
from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import SEED, Ran, call
from scaffold.check.probe_compare import difference, scores_of
from scaffold.check.probe_crash import Unmeasured
from scaffold.check.probe_modes import no_dropout, still
from scaffold.check.probe_stir import as_model
from scaffold.runtime.contracts import entry

NO_CONTENT = ("attention_mask", "token_type_ids", "word_ids")
EXTRA = 3  # positions of further padding
PRECISE, COARSE = 1e-5, 2e-4  # what float64 and float32 may differ by


@dataclass(frozen=True)
class Effect:
    """How much an output changed, relative to its size; and how much it may by rounding alone."""

    size: float
    tolerance: float

    def __bool__(self) -> bool:
        return self.size > self.tolerance


class Effects:
    """The experiments, each on the stirred model of a bench."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.contract = bench, bench.contract
        self.batch = as_model(bench.batch, bench.stirred)
        self.inputs = without_targets(self.batch, self.contract)
        is_double = any(one.dtype == torch.float64 for one in bench.stirred.parameters())
        self.tolerance = PRECISE if is_double else COARSE
        self._mixing: dict[bool, Effect] = {}

    def mixing(self, training: bool) -> Effect:
        """Return what other rows do to a row, but by a normalisation over the batch or by changing places with it."""
        if training not in self._mixing:
            model = self.calm or still(self.bench.fresh_stirred()) if training else self.bench.stirred
            effect = self.other_rows(model, training=training)
            none = Effect(0.0, self.tolerance)
            self._mixing[training] = none if effect and (self.is_unsteady(training) or self.moved) else effect
        return self._mixing[training]

    @cached_property
    def calm(self) -> nn.Module | None:
        """A model for training mode, without dropout; None where chance still has a part in its outputs."""
        model = still(self.bench.fresh_stirred())
        one, other = (self._scores(self.inputs, model, training=True, seed=seed) for seed in (1, 2))
        return None if self._effect(one, other) else model

    def _in_both_modes(self, measure: Callable[[nn.Module, bool], Effect]) -> Effect:
        """Measure in evaluation and, where nothing shows, in training mode, if that is free of chance."""
        effect = measure(self.bench.stirred, False)
        return measure(self.calm, True) if not effect and self.calm is not None else effect

    def is_unsteady(self, training: bool) -> bool:
        """Return whether the outputs are not even the same for the same rows and the same seed."""
        one, other = (self._scores(self.inputs, self.bench.fresh_stirred(), training) for _ in range(2))
        return bool(self._effect(one, other))

    @cached_property
    def moved(self) -> list[int]:
        """The rows that get, in their batch, what another row gets when it is alone."""
        together = self._scores(self.inputs)
        count = count_rows(self.inputs)
        alone = [self._scores(taken(self.inputs, [row])) for row in range(count)]
        found = []
        for row in range(count):
            own = {name: value[row : row + 1] for name, value in together.items()}
            same = [other for other in range(count) if not self._effect(own, alone[other])]
            if not same:
                return []
            found += [row] if row not in same else []
        return found

    @cached_property
    def batch_norm(self) -> Effect:
        """What other rows do to a row in training by a normalisation over the batch."""
        if not self.normalising or self.mixing(True):
            return Effect(0.0, self.tolerance)
        return self.other_rows(still(self.bench.fresh_stirred(), normalise=True), training=True)

    @property
    def normalising(self) -> list[str]:
        """The names of the parts that normalise over a batch."""
        return [
            name for name, part in self.bench.model.named_modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)
        ]

    def other_rows(self, model: nn.Module, *, training: bool) -> Effect:
        """Change all rows but the first, and all but the last: how much does the one's output change?"""
        before = {name: value.clone() for name, value in model.state_dict().items() if isinstance(value, Tensor)}
        one = self._scores(self.inputs, model, training)
        count = count_rows(self.inputs)
        worst = 0.0
        for kept in (0, count - 1):
            model.load_state_dict(before, strict=False)  # of a normalisation that learns in forward, too
            others = [row for row in range(count) if row != kept]
            changed = shortened(self.disturbed(self.inputs, others), self.contract, others, self.bench.pad_id)
            other = self._scores(changed, model, training)
            worst = max(worst, self._effect(_row(one, kept), _row(other, kept)).size)
        return Effect(worst, self.tolerance)

    def padding(self) -> Effect:
        """Add padding on the tokenizer's side: how much do the outputs change?"""
        return self._longer("length", left=self.bench.pads_left)

    def padding_of_targets(self) -> Effect:
        """Add ignored targets at the end: how much do the outputs change?"""
        reads_ahead = self.contract.causal in self.contract.targets and self.ahead()[0]
        return Effect(0.0, self.tolerance) if reads_ahead else self._longer("target length")

    def _longer(self, of: str, *, left: bool = False) -> Effect:
        longer = lengthened(self.inputs, self.contract, EXTRA, self.bench.pad_id, left=left, of=of)

        def measure(model: nn.Module, training: bool) -> Effect:
            before, after = (self._scores(batch, model, training) for batch in (self.inputs, longer))
            return self._effect(before, trimmed(after, before, left=left))

        return self._in_both_modes(measure)

    def padding_of_others(self) -> Effect:
        """Run each row alone, as collate makes it without the others: how much do its outputs change?"""
        if self.bench.given.data is None or self.mixing(False) or self.order():
            return Effect(0.0, self.tolerance)
        together = self._scores(self.inputs)
        worst = 0.0
        for row in range(count_rows(self.inputs)):
            batch = as_model(self.bench.rows.batch([row]), self.bench.stirred)
            alone = self._scores(without_targets(batch, self.contract))
            part = {
                name: _cut(value[row : row + 1], alone[name], self.bench.pads_left) for name, value in together.items()
            }
            worst = max(worst, self._effect(alone, part).size)
        return Effect(worst, self.tolerance)

    def order(self) -> Effect:
        """Turn the order of the rows round: how much do the outputs, put back, change?"""
        back = list(reversed(range(count_rows(self.inputs))))
        turned = self._scores(taken(self.inputs, back))
        return self._effect(self._scores(self.inputs), {name: value[back] for name, value in turned.items()})

    def ahead(self) -> tuple[Effect, int]:
        """Change what comes at a position or later: how much do earlier outputs change, and from where on?"""
        key = self.contract.causal
        assert key is not None
        start = max(1, self._shortest(key) // 2)
        changed = self.inputs | {key: _cycled(self.inputs[key], self._kept(key), start)}
        # a target is never seen by the output that predicts it; an input is, by the output of its own position
        seen = start + (key in self.contract.targets)

        def measure(model: nn.Module, training: bool) -> Effect:
            one, other = (self._scores(batch, model, training) for batch in (self.inputs, changed))
            before = {name: value[:, :seen] for name, value in one.items()}
            return self._effect(before, {name: value[:, :seen] for name, value in other.items()})

        return self._in_both_modes(measure), start

    def targets(self) -> Effect:
        """Leave the targets out: how much do the outputs change?"""
        return self._effect(self._scores(self.batch), self._scores(self.inputs))

    def target_on_loss(self, target: str) -> Effect:
        """Change all values of a target: how much does the loss change?"""
        others = other_targets(self.batch, self.contract, self.bench.classes)
        return self._loss_effect(self.batch, self.batch | {target: others[target]})

    def seen_by_loss(self) -> tuple[Effect, Effect]:
        """Count one target alone: how much does its loss change with this token, and with the one before it?"""
        place = max(2, self._shortest("input_ids") // 2)
        last = place - self.contract.shift
        labels = torch.full_like(self.batch["labels"], self.contract.ignore_index or 0)
        labels[:, place] = self.batch["labels"][:, place]
        counted = self.batch | {"labels": labels}
        ids, kept = counted["input_ids"], self._kept("input_ids")
        later = _cycled(ids, kept, last + 1)
        before = torch.cat([ids[:, :last], _cycled(ids, kept, 0)[:, last : last + 1], ids[:, last + 1 :]], dim=1)
        itself, previous = (self._loss_effect(counted, counted | {"input_ids": other}) for other in (later, before))
        return itself, previous

    def disturbed(self, batch: Mapping[str, Any], rows: list[int], start: int = 0) -> dict[str, Any]:
        """Return the batch with other contents in some rows."""
        changed = dict(batch)
        for key in self.contract.inputs:
            if key in batch and key not in NO_CONTENT and isinstance(batch[key], Tensor):
                other = _cycled(batch[key], self._kept(key), start)
                changed[key] = batch[key].clone()
                changed[key][rows] = other[rows]
        return changed

    def loss(self, batch: Mapping[str, Any], model: nn.Module | None = None) -> float:
        """Return the loss of a batch; not a number where there is none."""
        found = entry(self.run(batch, model).get(), "loss")
        return float(found) if isinstance(found, Tensor) and found.numel() == 1 else math.nan

    def run(
        self, batch: Mapping[str, Any], model: nn.Module | None = None, training: bool = False, seed: int = SEED
    ) -> Ran:
        """Run the stirred model, or another, on a batch."""
        with no_dropout() if training else nullcontext():
            return call(model or self.bench.stirred, batch, training=training, seed=seed)

    def _scores(
        self, batch: Mapping[str, Any], model: nn.Module | None = None, training: bool = False, seed: int = SEED
    ) -> dict[str, Tensor]:
        return scores_of(self.contract, self.run(batch, model, training, seed).get(), batch)

    def _effect(self, one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Effect:
        cut = {name: other[name][: len(value)] for name, value in one.items() if name in other}
        return Effect(difference(one, cut), self.tolerance)

    def _loss_effect(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> Effect:
        first, second = self.loss(one), self.loss(other)
        if not math.isfinite(first) or not math.isfinite(second):
            raise Unmeasured("the loss is not finite with other weights")
        return Effect(abs(first - second) / max(abs(first), abs(second), 1e-12), self.tolerance)

    def _kept(self, key: str) -> Tensor:
        value = self.batch[key]
        if key in self.contract.targets:
            return value != self.contract.ignore_index
        mask = self.batch.get("attention_mask")
        has_mask = mask is not None and mask.shape == value.shape
        return mask.bool() if has_mask else torch.ones_like(value, dtype=torch.bool)  # type: ignore[union-attr]

    def _shortest(self, key: str) -> int:
        return int(self._kept(key).sum(dim=1).min())


def _cycled(value: Tensor, kept: Tensor, start: int) -> Tensor:
    """Return other contents: each id becomes the next of those that occur, each float its negative."""
    later = kept.clone()
    if value.dim() == 2:
        later[:, :start] = False
    if value.is_floating_point():
        return torch.where(later, -value.flip(-1) + 0.5, value)
    ids = value[kept].unique()
    following = ids.roll(-1)[torch.searchsorted(ids, value.clamp(int(ids.min()), int(ids.max())))]
    return torch.where(later, following, value)


def _row(scores: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    return {name: value[row : row + 1] for name, value in scores.items()}


def _cut(value: Tensor, alone: Tensor, left: bool) -> Tensor:
    if value.dim() < 2 or value.dim() != alone.dim() or value.shape[1] == alone.shape[1]:
        return value
    return value[:, -alone.shape[1] :] if left else value[:, : alone.shape[1]]

"""Training in small: the gradients of a few batches, and whether a handful of rows can be learnt by heart."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import backward
from scaffold.check.probe_compare import visible
from scaffold.check.probe_stir import as_model
from scaffold.runtime.contracts import Contract, entry

ROUNDS = 3
RATES = (3e-3, 1e-2, 3e-4)
STEPS = 120
FEW = 40  # of them do for a sound model, at the first rate
FIRST_STEPS = 8  # as many as factors of zero that wake one after the other
LOOK_EVERY = 4
ENOUGH = 0.9  # of all targets right
HALF = 0.5  # of the first loss: what a model that cannot be sure of anything does not fall below
SURE = 0.15  # of the first loss: what a model falls below that can be sure
SECONDS = 30.0


@dataclass(frozen=True)
class Learning:
    """How learning a handful of rows by heart went at the best learning rate.

    first, last: the loss at the start and the end. right: the share of targets that the outputs predict at the end.
    goal: the share of the first loss to reach. model: the one that learnt them, of a generator, which is to write them.
    """

    first: float
    last: float
    right: float
    steps: int
    seconds: float
    rate: float
    goal: float = HALF
    model: nn.Module | None = field(default=None, repr=False, compare=False)

    @property
    def learnt(self) -> bool:
        """Return whether the model knows its rows, and is sure of them."""
        return self.right >= ENOUGH and (self.first <= 0 or self.last <= self.goal * self.first)

    @property
    def is_quick(self) -> bool:
        """Return whether it took as few steps as sound models take, at the rate that is tried first."""
        return self.learnt and self.rate == RATES[0] and self.steps <= FEW

    @property
    def out_of_time(self) -> bool:
        """Return whether it was stopped because it took too long."""
        return self.seconds > SECONDS


def gradients(bench: Bench, model: nn.Module) -> dict[str, Tensor | None]:
    """Return the largest gradient of each trainable parameter over several batches; None where there never was one."""
    largest: dict[str, Tensor | None] = {
        name: None for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    for number in range(ROUNDS):
        batch = as_model(bench.round(number), model)
        backward(model, batch, seed=number).get()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and name in largest:
                seen, found = largest[name], parameter.grad.abs().max().float()
                largest[name] = found if seen is None else torch.maximum(seen, found)
        model.zero_grad()
    return largest


def without(found: Mapping[str, Tensor | None]) -> list[str]:
    """Return the names of the parameters that have no gradient."""
    return [name for name, size in found.items() if size is None or size == 0]


def stuck(bench: Bench, silent: list[str]) -> list[str]:
    """Return those of some silent parameters that are zero, stay so in training, and would wake another of them."""
    zero = [name for name, value in bench.pristine.named_parameters() if name in silent and not bool(value.any())]
    if len(zero) < 2:
        return []
    model = bench.fresh()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATES[0], weight_decay=0.0)
    for step in range(FIRST_STEPS):
        backward(model, bench.batch, seed=step).get()
        optimizer.step()
        optimizer.zero_grad()
    waiting = [name for name, value in model.named_parameters() if name in zero and not bool(value.any())]
    return [name for name in waiting if _wakes(bench, model, name, waiting)]


def _wakes(bench: Bench, model: nn.Module, name: str, waiting: list[str]) -> bool:
    other = bench.like(model)
    with torch.no_grad():
        other.get_parameter(name).normal_(generator=torch.Generator().manual_seed(0))
    still = without(gradients(bench, other))
    return any(one not in still for one in waiting if one != name)


def learn(bench: Bench) -> Learning:
    """Learn the rows by heart: at one rate after the other, until it works."""
    best: Learning | None = None
    for rate in RATES:
        found = _learn(bench, rate)
        if best is None or found.learnt or found.right > best.right:
            best = found
        if best.learnt or best.out_of_time:
            break
    assert best is not None
    return best


def learn_well(bench: Bench, rate: float) -> Learning:
    """Learn the rows at one rate until the model is sure of them."""
    return _learn(bench, rate, SURE)


def _learn(bench: Bench, rate: float, goal: float = HALF) -> Learning:
    model, batch, started = bench.fresh(), bench.batch, time.monotonic()
    kept = model if bench.contract.family == "generation" else None  # nothing else asks for its weights
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad], lr=rate, weight_decay=0.0)
    first, _ = _look(bench, model)
    for step in range(1, STEPS + 1):
        backward(model, batch, seed=step).get()
        optimizer.step()
        optimizer.zero_grad()
        if step % LOOK_EVERY:
            continue
        last, right = _look(bench, model)
        found = Learning(first, last, right, step, time.monotonic() - started, rate, goal, kept)
        if found.learnt or found.out_of_time or not math.isfinite(last):
            break
    return found


def _look(bench: Bench, model: nn.Module) -> tuple[float, float]:
    output = bench.call(bench.batch, model=model).get()
    return float(entry(output, "loss")), share_right(bench.contract, output, bench.batch)


def share_right(contract: Contract, output: Any, batch: Mapping[str, Any]) -> float:
    """Return the share of targets that an output predicts; a number counts as right when it is close."""
    shares = [
        _share(contract, name, entry(output, name).detach(), batch[target], batch)
        for target, name in contract.scores.items()
        if target in batch
    ]
    return min(shares, default=math.nan)


def _share(contract: Contract, name: str, scores: Tensor, target: Tensor, batch: Mapping[str, Any]) -> float:
    if target.is_floating_point():
        return _share_of_numbers(scores, target)
    if contract.shift:
        scores, target = scores[:, : -contract.shift], target[:, contract.shift :]
    mask = visible(contract, contract.outputs[name], batch) if "length" in contract.outputs[name][-1:] else None
    if mask is not None and mask.shape == scores.shape:
        scores = scores.masked_fill(~mask, -math.inf)
    best = scores.argmax(dim=-1)
    counted = target != contract.ignore_index if contract.ignore_index is not None else torch.ones_like(target).bool()
    return float((best == target)[counted].float().mean()) if bool(counted.any()) else math.nan


def _share_of_numbers(scores: Tensor, target: Tensor) -> float:
    scores = scores.reshape(target.shape)
    spread = float(target.std()) if target.numel() > 1 else 0.0
    close = ((scores - target).abs() < max(0.5 * spread, 0.05)).float().mean()
    if bool(((target == 0) | (target == 1)).all()):  # they may be yes and no
        close = torch.maximum(close, ((scores > 0) == (target > 0.5)).float().mean())
    return float(close)

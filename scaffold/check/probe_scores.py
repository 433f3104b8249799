"""The scores that a loss is given: what kind of numbers they are, how far they reach, how far a weight moves them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torch.overrides import TorchFunctionMode

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import attempt, call
from scaffold.check.probe_stir import as_model, stir
from scaffold.check.probe_train import SURE
from scaffold.runtime.contracts import entry

BINARY = "binary_cross_entropy_with_logits"
LOSSES = {
    F.cross_entropy: "cross_entropy",
    F.nll_loss: "nll_loss",
    F.binary_cross_entropy_with_logits: BINARY,
}
STRENGTHS = (1.0, 30.0, -30.0)  # how the weights are stirred: scores leave 0 to 1 unless they are squashed
FURTHER = 300.0
GROWN = 1.5
CLOSE = 1e-3
MASKED = -1e3  # a score below is there to be none


@dataclass(frozen=True)
class Stirred:
    """What a model with stirred weights gave: the scores that each loss function got, and the model's outputs."""

    scores: list[tuple[str, Tensor]]
    outputs: list[tuple[str, Tensor]] = field(default_factory=list)


class ScoresWatch(TorchFunctionMode):
    """Notes the scores that each loss function is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Tensor]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in LOSSES:
            self.seen.append((LOSSES[func], kwargs.get("input", args[0] if args else None)))
        return func(*args, **kwargs)


def run_stirred(bench: Bench, strength: float) -> Stirred:
    """Run a model whose weights are stirred so much, on labelled rows."""
    model = stir(bench.fresh(), seed=int(abs(strength)) + (strength < 0), strength=abs(strength))
    with ScoresWatch() as watch:
        output = call(model, as_model(bench.batch, model)).get()
    fields = [(f"output.{name}", entry(output, name)) for name in bench.contract.outputs]
    return Stirred(watch.seen, [(name, value) for name, value in fields if isinstance(value, Tensor)])


def squashed(runs: Sequence[Stirred]) -> list[tuple[str, str]]:
    """Return the loss functions that are given what they would make themselves, and the outputs that are so."""
    rows = [[*run.scores, *run.outputs] for run in runs]
    found = dict.fromkeys(pair for index in range(len(rows[0])) for pair in _kind([row[index] for row in rows]))
    return [pair for pair in found if not pair[0].startswith("output")] or list(found)


def _kind(runs: list[tuple[str, Tensor]]) -> Iterator[tuple[str, str]]:
    name, scores = runs[0][0], [scores.detach().double() for _, scores in runs]
    if any(not bool(torch.isfinite(one).all()) for one in scores):
        return
    dim = 1 if not name.startswith("output") and scores[0].dim() > 1 else -1
    if name == "nll_loss":
        if not all(_sums_to_one(one.exp(), dim) for one in scores):
            yield name, "what is no logarithm of probabilities"
    elif all(bool(((one >= 0) & (one <= 1)).all()) for one in scores):
        sums = scores[0].size(dim) > 1 and all(_sums_to_one(one, dim) for one in scores)
        yield name, "probabilities, not scores: they sum to 1" if sums else "values between 0 and 1, not scores"


def _sums_to_one(values: Tensor, dim: int) -> bool:
    return bool(((values.sum(dim) - 1).abs() < CLOSE).all())


@dataclass(frozen=True)
class Reach:
    """How far scores are from each other at most, and the share of ln C below which their loss cannot fall."""

    spread: float = math.inf
    floor: float = 0.0

    @property
    def is_short(self) -> bool:
        """Return whether a model cannot say with such scores that it is sure."""
        return self.floor > SURE

    def unless_beyond(self, further: Reach) -> Reach:
        """Return this reach, or none where scores of a model with yet larger weights are further apart."""
        return self if further.spread <= GROWN * self.spread else Reach()


def reach(runs: Iterable[Stirred]) -> Reach:
    """Return the reach of the scores over runs with weights of very different sizes; no limit where none is seen."""
    found = [(_spread(name, scores), _choices(name, scores)) for run in runs for name, scores in run.scores]
    if not found:
        return Reach()
    spread, choices = max(one for one, _ in found), max(two for _, two in found)
    best = math.log1p((choices - 1) * math.exp(-spread))
    return Reach(spread, best / math.log(choices))


def _choices(name: str, scores: Tensor) -> int:
    return 2 if name == BINARY or scores.dim() < 2 else max(2, scores.size(1))


def _spread(name: str, scores: Tensor) -> float:
    if name == BINARY:
        found = scores.detach().abs().max()
    else:
        values = scores.detach() if scores.dim() < 2 else scores.detach().movedim(1, -1)
        lowest = values.masked_fill(values < MASKED, math.inf).amin(dim=-1)
        found = (values.amax(dim=-1) - lowest).max()
    return float(found) if not bool(torch.isnan(found)) else math.inf


def moved(bench: Bench) -> float:
    """Return how far one unit of the most effective weight moves a score; infinity where that cannot be seen."""
    model = bench.fresh_stirred()
    with ScoresWatch() as watch:
        call(model, as_model(bench.batch, model), grad=True).get()
    weights = [one for one in model.parameters() if one.requires_grad]
    # a graph may not be one that single scores can be followed through, as with reentrant checkpoints
    found = ((name, scores, weights) for name, scores in watch.seen)
    ran = attempt("backward", lambda: [one for arguments in found for one in _gradients(*arguments)])
    return math.inf if ran.crash else max(ran.output, default=math.inf)


def _gradients(name: str, scores: Tensor, weights: Sequence[Tensor]) -> Iterator[float]:
    """Yield the largest gradient of a few scores, each against the score beside it, as only that counts."""
    apart = scores if name == BINARY or scores.dim() < 2 else scores.select(1, 0) - scores.select(1, 1)
    counted = apart.flatten()[(apart.detach().flatten().abs() < -MASKED)]
    for score in (counted[:1], counted[-1:]):
        if score.numel() and score.requires_grad:
            found = torch.autograd.grad(score.sum(), weights, retain_graph=True, allow_unused=True)
            yield max((float(one.to_dense().abs().max()) for one in found if one is not None), default=0.0)

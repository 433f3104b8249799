"""What the loss is made of: the scores it is given, the weights it leads to, the targets it counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_batches import count_rows, ignored_targets, taken
from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import backward, call
from scaffold.check.probe_effects import Effects
from scaffold.check.probe_graph import leaves
from scaffold.check.probe_train import ROUNDS
from scaffold.runtime.contracts import entry


def is_detached(bench: Bench) -> bool:
    """Return whether no trainable weight gets a gradient from the loss, and would not if all were trainable."""
    return not _reaches(bench.fresh(), bench) and not _reaches(bench.fresh().requires_grad_(), bench)


def is_frozen(bench: Bench) -> bool:
    """Return whether the loss would lead to weights if they were not frozen, or there are none."""
    if not any(True for _ in bench.model.parameters()):
        return True
    return not _reaches(bench.fresh(), bench) and _reaches(bench.fresh().requires_grad_(), bench)


def _reaches(model: nn.Module, bench: Bench) -> bool:
    ran = call(model, bench.batch, training=True, grad=True)
    loss = entry(ran.output, "loss") if ran.crash is None else None
    return isinstance(loss, Tensor) and any(one.requires_grad and id(one) in _parameters(model) for one in leaves(loss))


def _parameters(model: nn.Module) -> set[int]:
    return {id(parameter) for parameter in model.parameters()}


def unregistered(bench: Bench) -> list[list[int]]:
    """Return the shapes of trainable tensors that the loss depends on and that are no parameters of the model."""
    model = bench.fresh()
    runs = [call(model, bench.batch, training=True, grad=True).get() for _ in range(2)]
    one, other = ([leaf for leaf in leaves(entry(output, "loss")) if leaf.requires_grad] for output in runs)
    lasting = {id(leaf) for leaf in other} - _parameters(model)  # what forward makes anew is no weight
    return [list(leaf.shape) for leaf in one if id(leaf) in lasting]


def losses(bench: Bench) -> list[float]:
    """Return the losses of a few batches in training mode, and of one in evaluation mode."""
    model = bench.fresh()
    found = [call(model, bench.round(number), training=True, seed=number).get() for number in range(ROUNDS)]
    return [float(entry(output, "loss")) for output in (*found, bench.call(bench.batch).get())]


def without_finite_gradient(bench: Bench) -> list[str]:
    """Return the parameters whose gradient is not finite after the first batch."""
    model = bench.fresh()
    if backward(model, bench.batch).crash is not None:
        return []
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and not bool(torch.isfinite(parameter.grad).all())
    ]


def gradient_norm(bench: Bench) -> float:
    """Return the norm of the first batch's gradient."""
    model = bench.fresh()
    backward(model, bench.batch).get()
    norms = [parameter.grad.double().norm() for parameter in model.parameters() if parameter.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


def loss_of_ignorance(bench: Bench) -> float | None:
    """Return ln C, the loss of a model that finds all C values of a target equally likely; None where it has no C."""
    target = bench.batch.get(bench.contract.targets[0])
    if bench.contract.uniform_over is None or target is None:
        return None
    name = next(iter(bench.contract.outputs))
    dimensions, scores = bench.contract.outputs[name], entry(bench.labelled.output, name)
    if target.is_floating_point():
        is_several = target.shape == scores.shape and bool(((target == 0) | (target == 1)).all())
        return math.log(2) if is_several else None
    count = scores.shape[dimensions.index(bench.contract.uniform_over)]
    return math.log(count) if count > 1 else None


def padding_with_targets(bench: Bench) -> int:
    """Return how many positions of padding have a target that counts."""
    mask = (
        _words(bench.batch) if "words" in bench.contract.shapes.get("labels", ()) else bench.batch.get("attention_mask")
    )
    targets = [bench.batch[name] for name in bench.contract.targets if name in bench.batch]
    if mask is None:
        return 0
    counted = [(one != bench.contract.ignore_index) & (mask == 0) for one in targets if one.shape == mask.shape]
    return sum(int(one.sum()) for one in counted)


def _words(batch: Mapping[str, Any]) -> Tensor:
    """Return which words of a batch there are, (rows, words)."""
    last = batch["word_ids"].max(dim=1, keepdim=True).values
    return torch.arange(batch["labels"].size(1), device=last.device) <= last


def losses_beside_ignored(effects: Effects) -> tuple[float, float]:
    """Return the loss of two rows alone, and beside others of which every target is ignored."""
    batch, contract = effects.batch, effects.contract
    longest = _longest(batch)  # without it the others could have shorter targets than their batch says
    kept = sorted({longest, 0 if longest else 1})
    beside = ignored_targets(batch, contract, [row for row in range(count_rows(batch)) if row not in kept])
    return effects.loss(taken(batch, kept)), effects.loss(beside)


def _longest(batch: Mapping[str, Any]) -> int:
    words, mask = batch.get("word_ids"), batch.get("attention_mask")
    if words is not None:
        return int(words.max(dim=1).values.argmax())
    return int(mask.sum(dim=1).argmax()) if mask is not None else 0

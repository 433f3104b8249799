"""What each family of models takes and gives: the one place that tests and the checker read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Contract:
    """What a family's batches hold and what its models return.

    inputs: keys that every batch has. targets: keys that only labelled batches have. optional: keys some backbones add.
    outputs: field of the model's output -> names of its dimensions; equal names are equal sizes.
    ignore_index: value of a target that counts for nothing. uniform_over: the dimension whose size C makes ln C the
    loss of a model that knows nothing, or None where there is no such value.
    """

    family: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...] = ("labels",)
    optional: tuple[str, ...] = ()
    outputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignore_index: int | None = -100
    causal: bool = False
    rows_independent: bool = True
    uniform_over: str | None = None


SEQUENCE = Contract(
    family="sequence",
    inputs=("input_ids", "attention_mask"),
    optional=("token_type_ids",),
    outputs={"logits": ("rows", "labels")},
    uniform_over="labels",
)

SENTENCE_PAIR = replace(SEQUENCE, family="sentence-pair")

TOKENS = Contract(
    family="tokens",
    inputs=("input_ids", "attention_mask", "word_ids"),
    outputs={"logits": ("rows", "words", "labels")},
    uniform_over="labels",
)

QA = Contract(
    family="qa",
    inputs=("input_ids", "attention_mask"),
    targets=("start_positions", "end_positions"),
    optional=("token_type_ids",),
    outputs={"start_logits": ("rows", "length"), "end_logits": ("rows", "length")},
    uniform_over="length",
)

GENERATION = Contract(
    family="generation",
    inputs=("input_ids", "attention_mask"),
    outputs={"logits": ("rows", "target length", "vocabulary")},
    uniform_over="vocabulary",
)


def violations(contract: Contract, output: Any, sizes: Mapping[str, int], finite: bool = True) -> list[str]:
    """Return what an output for a labelled batch gets wrong, one sentence each; nothing when the contract holds.

    sizes: the dimensions that are known beforehand, such as rows and labels. finite: whether the loss must be.
    """
    if isinstance(output, Tensor | tuple | list) or output is None:
        fields = ", ".join([*contract.outputs, "loss"])
        return [f"Expected an output with the fields {fields}, got {type(output).__name__}."]
    return _shape_violations(contract, output, dict(sizes)) + _loss_violations(output, finite)


def _shape_violations(contract: Contract, output: Any, sizes: dict[str, int]) -> list[str]:
    found = []
    for name, dimensions in contract.outputs.items():
        value = getattr(output, name, None)
        wanted = f"output.{name} of shape ({', '.join(dimensions)})"
        if not isinstance(value, Tensor):
            found.append(f"Expected {wanted}, got {type(value).__name__}.")
            continue
        expected = tuple(sizes.setdefault(key, size) for key, size in zip(dimensions, value.shape, strict=False))
        if value.dim() != len(dimensions) or tuple(value.shape) != expected:
            known = ", ".join(f"{key} = {sizes[key]}" for key in dimensions if key in sizes)
            found.append(f"Expected {wanted} with {known}, got {tuple(value.shape)}.")
    return found


def _loss_violations(output: Any, finite: bool) -> list[str]:
    loss = getattr(output, "loss", None)
    if not isinstance(loss, Tensor):
        return [f"Expected output.loss to be a scalar tensor when labels are given, got {type(loss).__name__}."]
    if loss.dim() != 0:
        return [f"Expected output.loss to be a scalar, got shape {tuple(loss.shape)}."]
    if finite and not torch.isfinite(loss):
        return [f"Expected output.loss to be finite, got {loss.item()}."]
    if torch.is_grad_enabled() and not loss.requires_grad:
        return ["Expected output.loss to depend on the parameters, got one without a gradient: was it detached?"]
    return []

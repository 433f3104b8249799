"""What each family of models takes and gives: the one place that tests and the checker read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

Dimensions = tuple[str, ...]
IGNORED = -100  # the target that counts for nothing, as cross-entropy has it


@dataclass(frozen=True)
class Contract:
    """What a family's batches hold and what its models return.

    inputs: keys that every batch has. targets: keys that only labelled batches have. optional: keys some backbones add.
    outputs: field of the model's output -> names of its dimensions; equal names are equal sizes. The first target is
    what the first output scores, and so on.
    shapes: key of a batch -> names of its dimensions. padding: key -> what fills it up along the length; for input_ids
    it is the tokenizer's own.
    ignore_index: value of a target that counts for nothing; None where every target counts.
    uniform_over: the dimension that the targets index; its size C makes ln C the loss of a model that knows nothing.
    causal: the key along which nothing may look ahead: a change at t shows at t or later. shift: how many positions
    after the token that is predicted from it an output stands; 1 where the model shifts the labels itself.
    rows_independent: whether a row's output may not depend on the other rows. batch_norm: whether it may in training,
    by statistics of the batch. needs_targets: whether there is no output without targets.
    whole: the contract of a model whose forward does not name all inputs, such as word_ids.
    """

    family: str
    inputs: Dimensions
    targets: Dimensions = ("labels",)
    optional: Dimensions = ()
    outputs: Mapping[str, Dimensions] = field(default_factory=dict)
    shapes: Mapping[str, Dimensions] = field(default_factory=dict)
    padding: Mapping[str, int] = field(default_factory=lambda: {"attention_mask": 0, "token_type_ids": 0})
    ignore_index: int | None = IGNORED
    uniform_over: str | None = None
    causal: str | None = None
    shift: int = 0
    rows_independent: bool = True
    batch_norm: bool = False
    needs_targets: bool = False
    whole: Contract | None = None

    @property
    def scores(self) -> dict[str, str]:
        """Return which output scores which target."""
        return dict(zip(self.targets, self.outputs, strict=False))

    def renamed(self, old: str, new: str) -> Contract:
        """Return the contract with another name for one of its inputs."""
        inputs = tuple(new if key == old else key for key in self.inputs)
        shapes = {new if key == old else key: names for key, names in self.shapes.items()}
        return replace(self, inputs=inputs, shapes=shapes)


_TEXT = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("rows", "length"))

SEQUENCE = Contract(
    family="sequence",
    inputs=("input_ids", "attention_mask"),
    optional=("token_type_ids",),
    outputs={"logits": ("rows", "labels")},
    shapes=_TEXT | {"labels": ("rows",)},
    ignore_index=None,
    uniform_over="labels",
)

SENTENCE_PAIR = replace(SEQUENCE, family="sentence-pair")

PIECES = Contract(
    family="tokens",
    inputs=("input_ids", "attention_mask"),
    optional=("token_type_ids",),
    outputs={"logits": ("rows", "length", "labels")},
    shapes=_TEXT | {"labels": ("rows", "length")},
    uniform_over="labels",
)

TOKENS = replace(
    PIECES,
    inputs=("input_ids", "attention_mask", "word_ids"),
    outputs={"logits": ("rows", "words", "labels")},
    shapes=_TEXT | {"word_ids": ("rows", "length"), "labels": ("rows", "words")},
    padding={"attention_mask": 0, "token_type_ids": 0, "word_ids": -1},
    whole=PIECES,
)

UNMASKED_QA = Contract(
    family="qa",
    inputs=("input_ids", "attention_mask"),
    targets=("start_positions", "end_positions"),
    optional=("token_type_ids",),
    outputs={"start_logits": ("rows", "length"), "end_logits": ("rows", "length")},
    shapes=_TEXT | {"start_positions": ("rows",), "end_positions": ("rows",)},
    ignore_index=None,
    uniform_over="length",
)

QA = replace(
    UNMASKED_QA,
    inputs=("input_ids", "attention_mask", "context_mask"),
    shapes={**UNMASKED_QA.shapes, "context_mask": ("rows", "length")},
    padding={"attention_mask": 0, "token_type_ids": 0, "context_mask": 0},
    whole=UNMASKED_QA,
)

GENERATION = Contract(
    family="generation",
    inputs=("input_ids", "attention_mask"),
    outputs={"logits": ("rows", "target length", "vocabulary")},
    shapes=_TEXT | {"labels": ("rows", "target length")},
    uniform_over="vocabulary",
    causal="labels",
    needs_targets=True,
)

LANGUAGE_MODEL = Contract(
    family="language-model",
    inputs=("input_ids", "attention_mask"),
    outputs={"logits": ("rows", "length", "vocabulary")},
    shapes=_TEXT | {"labels": ("rows", "length")},
    uniform_over="vocabulary",
    causal="input_ids",
    shift=1,
)

MASKED_LANGUAGE_MODEL = replace(
    LANGUAGE_MODEL, family="masked-language-model", optional=("token_type_ids",), causal=None, shift=0
)

IMAGE = Contract(
    family="image",
    inputs=("pixel_values",),
    outputs={"logits": ("rows", "labels")},
    shapes={"pixel_values": ("rows", "channels", "height", "width"), "labels": ("rows",)},
    ignore_index=None,
    uniform_over="labels",
    batch_norm=True,
)

FAMILIES: dict[str, Contract] = {
    contract.family: contract
    for contract in (
        SEQUENCE,
        SENTENCE_PAIR,
        TOKENS,
        QA,
        GENERATION,
        LANGUAGE_MODEL,
        MASKED_LANGUAGE_MODEL,
        IMAGE,
    )
}


def entry(output: Any, name: str) -> Any:
    """Return a field of an output, which may be a plain dict; None where there is none."""
    return output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)


def sizes_of(contract: Contract, batch: Mapping[str, Any]) -> dict[str, int]:
    """Return the sizes of the dimensions that a batch's tensors show."""
    found: dict[str, int] = {}
    for key, dimensions in contract.shapes.items():
        if isinstance(batch.get(key), Tensor):
            found |= dict(zip(dimensions, batch[key].shape, strict=False))
    return found


def violations(contract: Contract, output: Any, sizes: Mapping[str, int], finite: bool = True) -> list[str]:
    """Return what an output for a labelled batch gets wrong, one sentence each; nothing when the contract holds.

    sizes: the dimensions that are known beforehand, such as rows and labels. finite: whether the loss must be.
    """
    if not has_fields(contract, output):
        return shape_violations(contract, output, sizes)
    found = shape_violations(contract, output, sizes) + loss_violations(output)
    loss = entry(output, "loss")
    if finite and not found and not torch.isfinite(loss):
        found.append(f"Expected output.loss to be finite, got {loss.item()}.")
    if not found and torch.is_grad_enabled() and not loss.requires_grad:
        found.append("Expected output.loss to depend on the parameters, got one without a gradient: was it detached?")
    return found


def shape_violations(contract: Contract, output: Any, sizes: Mapping[str, int]) -> list[str]:
    """Return what is wrong with the type of an output, its fields, and their shapes and numbers."""
    if not has_fields(contract, output):
        fields = ", ".join([*contract.outputs, "loss"])
        return [f"Expected an output with the fields {fields}, got {type(output).__name__}."]
    known, found = dict(sizes), []
    for name, dimensions in contract.outputs.items():
        found += _field_violations(entry(output, name), name, dimensions, known)
    return found


def has_fields(contract: Contract, output: Any) -> bool:
    """Return whether an output can have fields; a tuple must have names for them."""
    if isinstance(output, tuple):
        return all(hasattr(output, name) for name in contract.outputs)
    return not isinstance(output, Tensor | list) and output is not None


def _field_violations(value: Any, name: str, dimensions: Dimensions, sizes: dict[str, int]) -> list[str]:
    wanted = f"output.{name} of shape ({', '.join(dimensions)})"
    if not isinstance(value, Tensor):
        return [f"Expected {wanted}, got {type(value).__name__}."]
    if is_fitting := value.dim() == len(dimensions):
        expected = tuple(sizes.setdefault(key, size) for key, size in zip(dimensions, value.shape, strict=True))
    if not is_fitting or tuple(value.shape) != expected:
        known = ", ".join(f"{key} = {sizes[key]}" for key in dimensions if key in sizes)
        return [f"Expected {wanted}{f' with {known}' if known else ''}, got {tuple(value.shape)}."]
    if not value.is_floating_point():
        return [f"Expected output.{name} to hold scores (floats), got {str(value.dtype).removeprefix('torch.')}."]
    return []


def loss_violations(output: Any) -> list[str]:
    """Return what is wrong with the type and shape of the loss of a labelled batch."""
    loss = entry(output, "loss")
    if not isinstance(loss, Tensor):
        return [f"Expected output.loss to be a scalar tensor when labels are given, got {type(loss).__name__}."]
    if loss.dim() != 0:
        return [f"Expected output.loss to be a scalar, got shape {tuple(loss.shape)}."]
    return []

"""How large what a model takes and gives is, found by watching it run on as little as possible."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torch.overrides import TorchFunctionMode

from scaffold.check.probe_adapt import fields_of
from scaffold.check.probe_call import Ran, call, named, required
from scaffold.check.probe_rows import ROWS, Sizes, SyntheticRows
from scaffold.runtime.contracts import Contract

SPECIAL = ("bos", "eos", "cls", "sep", "mask", "unk", "decoder_start")
IMAGE_SIZES = (32, 28, 64, 16, 8, 224, 24, 48, 96, 128)
PATTERN = ((1, 0, 1, 1, 0, 1, 0, 1), (0, 1, 1, 0, 1, 0, 1, 1))  # of token ids; every vocabulary has two


class Watch(TorchFunctionMode):
    """Notes how many entries each table has that is looked up with one of some tensors."""

    def __init__(self, looked_up: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.looked_up = looked_up
        self.sizes: dict[str, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        index, size = _looked_up(func, args, kwargs)
        for key, value in self.looked_up.items():
            if isinstance(index, Tensor) and index.shape == value.shape and torch.equal(index, value):
                self.sizes[key] = min(size, self.sizes.get(key, size))
        return func(*args, **kwargs)


def fitting(model: nn.Module, contract: Contract) -> Contract:
    """Return the contract as it holds for a model whose forward may lack, or call otherwise, what a batch has."""
    names, is_open = named(model)
    lacks_some = bool(names) and not set(contract.inputs) <= set(names)
    if contract.whole is not None and lacks_some:
        return fitting(model, contract.whole)
    first = contract.inputs[0]
    if first in names or (is_open and not required(model)):
        return contract
    others = [name for name in required(model) or names if name not in contract.targets]
    return contract.renamed(first, others[0]) if others else contract


def measured(model: nn.Module, contract: Contract, *, large: bool = False) -> Sizes:
    """Return the sizes of a model's batches, as far as a run without targets shows them."""
    sizes = _configured(model)
    if contract.family == "image":
        return _of_images(model, contract, sizes)
    names, is_open = named(model)
    probe = {key: value for key, value in _pattern(contract).items() if key in names or is_open}
    tables = {key: probe[key] for key in (contract.inputs[0], "token_type_ids") if key in probe}
    if large:  # on fake tensors nothing can be compared
        return _with_classes(sizes, contract, _run(model, contract, probe))
    with Watch(tables) as watch:
        ran = _run(model, contract, probe)
    vocabulary = watch.sizes.get(contract.inputs[0], sizes.vocabulary)
    sizes = replace(sizes, vocabulary=vocabulary, types=watch.sizes.get("token_type_ids", 1))
    return _with_classes(sizes, contract, ran)


def fitting_kind(model: nn.Module, rows: SyntheticRows) -> Sizes:
    """Return the sizes with the kind of target that the loss takes: a number, or several where one will not do."""
    sizes = rows.sizes
    if rows.contract.targets != ("labels",) or len(rows.contract.shapes.get("labels", ())) != 1:
        return sizes
    if sizes.classes == 1:
        return replace(sizes, kind="number")
    crash = call(model, rows.batch(range(ROWS))).crash
    is_binary = crash is not None and any(
        "binary_cross_entropy" in frame.name for frame in traceback.extract_tb(crash.error.__traceback__)
    )
    return replace(sizes, kind="several") if is_binary else sizes


def _run(model: nn.Module, contract: Contract, probe: dict[str, Any]) -> Ran:
    """Run without targets or, where that cannot be, with zeros."""
    ran = call(model, probe)
    if ran.crash is None and not contract.needs_targets:
        return ran
    zeros = {key: torch.zeros(2, *[8] * (len(contract.shapes[key]) - 1), dtype=torch.long) for key in contract.targets}
    return call(model, probe | zeros)


def _with_classes(sizes: Sizes, contract: Contract, ran: Ran) -> Sizes:
    scores = fields_of(contract, ran.output)[next(iter(contract.outputs))] if ran.crash is None else None
    return replace(sizes, classes=scores.shape[-1]) if isinstance(scores, Tensor) and scores.dim() else sizes


def _configured(model: nn.Module) -> Sizes:
    config = getattr(model, "config", None)
    numbers = {name: getattr(config, f"{name}_token_id", None) for name in (*SPECIAL, "pad")}
    special = frozenset(value for name, value in numbers.items() if name in SPECIAL and isinstance(value, int))
    tables = [part for part in model.modules() if isinstance(part, nn.Embedding)]
    entries = [part.num_embeddings for part in tables if part.num_embeddings > 2]  # the others are for token types
    vocabulary = getattr(config, "vocab_size", None) or min(entries, default=8)
    padding = [part.padding_idx for part in tables if part.padding_idx is not None]
    pad_id = numbers["pad"] if isinstance(numbers["pad"], int) else next(iter(padding), 0)
    closes = getattr(config, "is_encoder_decoder", False) and isinstance(numbers["eos"], int)
    classes = getattr(config, "num_labels", 2)
    return Sizes(vocabulary, classes, pad_id=pad_id, special=special, end=numbers["eos"] if closes else None)


def _pattern(contract: Contract) -> dict[str, Tensor]:
    ids = torch.tensor(PATTERN)
    words = torch.arange(8).clamp(max=6).expand(2, 8).clone() - 1
    other = {"attention_mask": torch.ones_like(ids), "word_ids": words}
    keys = [*contract.inputs, *contract.optional]
    return {key: other.get(key, torch.zeros_like(ids)) for key in keys} | {contract.inputs[0]: ids}


def _of_images(model: nn.Module, contract: Contract, sizes: Sizes) -> Sizes:
    for channels, size in _image_sizes(model):
        ran = call(model, {contract.inputs[0]: torch.zeros(2, channels, size, size)})
        if ran.crash is None:
            return _with_classes(replace(sizes, image=(channels, size)), contract, ran)
    return replace(sizes, image=next(_image_sizes(model)))


def _image_sizes(model: nn.Module) -> Iterator[tuple[int, int]]:
    config = getattr(model, "config", None)
    convolutions = [part.in_channels for part in model.modules() if isinstance(part, nn.Conv2d)]
    channels = getattr(config, "num_channels", None) or next(iter(convolutions), 3)
    size = getattr(config, "image_size", None)
    if isinstance(size, int):
        yield channels, size
    flat = next((part.in_features for part in model.modules() if isinstance(part, nn.Linear)), 0)
    if not convolutions:
        yield from ((count, side) for count in (3, 1) for side in range(1, 257) if count * side * side == flat)
    yield from ((channels, side) for side in IMAGE_SIZES)


def _looked_up(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, int]:
    """Return the index and the number of entries of a look-up; nothing for any other function."""
    if func is F.embedding:
        weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
        return kwargs.get("input", args[0] if args else None), len(weight)
    if func is F.one_hot:
        return args[0], kwargs.get("num_classes", args[1] if len(args) > 1 else -1)
    if func is Tensor.__getitem__ and isinstance(args[1], Tensor) and args[1].dtype == torch.long:
        return args[1], len(args[0])
    return None, 0

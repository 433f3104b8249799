"""One batch through a model before it is trained: what `forward` gets wrong is named here, not deep inside the loop."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from transformers.utils import ModelOutput

from scaffold.errors import ModelError, Where, listed
from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import IGNORED, Contract, entry, has_fields, sizes_of, violations

OUTPUTS = {"qa": "QAOutput", "generation": "GenerationOutput"}
CHOOSING = ("sequence", "sentence-pair", "tokens", "image")  # families whose tasks read output.predictions
CHOICE = "return predictions as a tensor in the form of labels, padded with 0 where there is nothing to choose"
ARGUMENTS = "change the arguments of forward, or what collate puts into the batch"
OPEN = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def try_forward(model: Any, batch: Batch) -> None:
    """Raise ModelError when `forward` does not take a labelled batch, or does not return what the contract promises."""
    problems, fix = _signature_problems(model, batch), ARGUMENTS
    if not problems:
        with evaluating(model):
            output = model(**batch)
        sizes = sizes_of(model.contract, batch)
        if "num_labels" in model.context.facts:
            sizes["labels"] = model.context.facts["num_labels"]
        problems = dict_problems(output) or violations(model.contract, output, sizes, finite=False)  # see Guard
        fix = remedy(model.contract, output)
        if not problems and model.contract.family in CHOOSING:
            problems = choice_problems(output, batch.get("labels"), sizes.get("labels"))
            fix = CHOICE
    if problems:
        name = type(model.plain_model).__name__
        raise ModelError(
            f"{name}.forward does not keep the contract of its task",
            because=problems[0],
            fix=fix,
            where=_place(type(model.plain_model).forward),
            code="model.contract",
        ).with_details(problems[1:])


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Switch dropout and the like off, and leave every part in the mode it was in."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _signature_problems(model: Any, batch: Batch) -> list[str]:
    parameters = inspect.signature(type(model.plain_model).forward).parameters
    names = [name for name in parameters if name != "self"]
    if any(parameter.kind in OPEN for parameter in parameters.values()):
        return []
    needed = [name for name in names if parameters[name].default is inspect.Parameter.empty]
    takes = f"forward takes {listed(names)}; a labelled batch holds {listed(batch)}"
    surplus = [f"{takes}: it has no argument {key}" for key in batch if key not in names]
    return surplus + [f"{takes}: nothing gives {name}" for name in needed if name not in batch]


def is_plain_dict(output: Any) -> bool:
    """Return whether an output is a dict whose entries are no fields: a training step reads output.loss."""
    return isinstance(output, dict) and not hasattr(output, "loss") and not isinstance(output, ModelOutput)


def dict_problems(output: Any) -> list[str]:
    """Return what is wrong with an output that is a plain dict; nothing for any other."""
    expected = "Expected an output with fields, got a plain dict with the keys"
    return [f"{expected} {listed(output)}"] if is_plain_dict(output) else []


def choice_problems(output: Any, labels: Any, count: int | None) -> list[str]:
    """Return what is wrong with the predictions that a model makes itself, where it makes any, beside the labels."""
    chosen = entry(output, "predictions")
    if chosen is None or not isinstance(labels, Tensor):
        return []
    wanted = f"Expected output.predictions of shape {tuple(labels.shape)}, as labels have, got"
    if not isinstance(chosen, Tensor):
        return [f"{wanted} {type(chosen).__name__}."]
    if chosen.shape != labels.shape:
        return [f"{wanted} {tuple(chosen.shape)}."]
    if labels.is_floating_point() or count is None:
        return []
    if chosen.is_floating_point():
        return ["Expected output.predictions to hold the numbers of labels, got floats."]
    strange = [number for number in chosen[labels != IGNORED].tolist() if not 0 <= number < count]
    return [f"Expected output.predictions from 0 to {count - 1}, got {strange[0]}."] if strange else []


def remedy(contract: Contract, output: Any) -> str:
    """Return what `forward` should return in place of an output that breaks its contract."""
    if has_fields(contract, output) and not is_plain_dict(output):
        return f"return an output with {listed(contract.outputs)} and, for a labelled batch, the loss"
    name = OUTPUTS.get(contract.family, "ClassificationOutput")
    fields = listed(f"{field}=…" for field in [*(contract.outputs or ("logits",)), "loss"])
    return f"return {name}({fields}) or another ModelOutput"


def _place(forward: Any) -> Where:
    file, line = inspect.getsourcefile(forward), inspect.getsourcelines(forward)[1]
    return Where(file=os.path.relpath(file) if file else None, line=line)

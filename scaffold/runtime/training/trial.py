"""One batch through a model before it is trained: what `forward` gets wrong is named here, not deep inside the loop."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers.utils import ModelOutput

from scaffold.errors import ModelError, Where, listed
from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import Contract, sizes_of, violations

OUTPUTS = {"qa": "QAOutput", "generation": "GenerationOutput"}
NO_FIELDS = "Expected an output"  # as the problem of an output begins that is of a wrong type as a whole
OPEN = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def try_forward(model: Any, batch: Batch) -> None:
    """Raise ModelError when `forward` does not take a labelled batch, or does not return what the contract promises."""
    problems = _signature_problems(model, batch)
    if not problems:
        with evaluating(model):
            output = model(**batch)
        sizes = sizes_of(model.contract, batch)
        if "num_labels" in model.context.facts:
            sizes["labels"] = model.context.facts["num_labels"]
        problems = dict_problems(output) or violations(model.contract, output, sizes, finite=False)  # see Guard
    if problems:
        name = type(model.plain_model).__name__
        raise ModelError(
            f"{name}.forward does not keep the contract of its task",
            because=problems[0],
            fix=remedy(model.contract, problems[0]),
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


def dict_problems(output: Any) -> list[str]:
    """Return what is wrong with a plain dict: its entries are no fields, and a training step reads output.loss."""
    if not isinstance(output, dict) or hasattr(output, "loss") or isinstance(output, ModelOutput):
        return []
    return [f"Expected an output with fields, got a plain dict with the keys {listed(output)}"]


def remedy(contract: Contract, problem: str) -> str:
    """Return what to do about a problem of `forward`."""
    if problem.startswith(NO_FIELDS):
        output = OUTPUTS.get(contract.family, "ClassificationOutput")
        fields = listed(f"{name}=…" for name in [*(contract.outputs or ("logits",)), "loss"])
        return f"return {output}({fields}) or another ModelOutput"
    if "output" in problem:
        return f"return an output with {listed(contract.outputs)} and, for a labelled batch, the loss"
    return "change the arguments of forward, or what collate puts into the batch"


def _place(forward: Any) -> Where:
    file, line = inspect.getsourcefile(forward), inspect.getsourcelines(forward)[1]
    return Where(file=os.path.relpath(file) if file else None, line=line)

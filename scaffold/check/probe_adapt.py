"""Lone classes whose forward returns scores alone, or a bare tuple: read as what their family promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name for it

from scaffold.check.finding import Severity
from scaffold.errors import listed
from scaffold.runtime.contracts import IGNORED, Contract, entry

HELD_BY = "_scaffold_adapter"  # the attribute of a model by which `forward_of` finds it


@dataclass(frozen=True)
class Adapter:
    """Gives a model's output the fields of a contract, and a loss where it has none.

    takes: the keys that forward is given; None for all of them. message, severity: how the report tells it.
    """

    contract: Contract
    takes: frozenset[str] | None
    message: str
    severity: Severity

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> Any:
        """Run a model on a batch."""
        given = {key: value for key, value in batch.items() if self.takes is None or key in self.takes}
        output = fields_of(self.contract, model(**given))
        loss = output["loss"] if isinstance(output["loss"], Tensor) else usual_loss(self.contract, output, batch)
        return output | {"loss": loss}


def forward_of(model: nn.Module) -> Callable[..., Any]:
    """Return what runs a model on a batch given by keywords."""
    adapter = getattr(model, HELD_BY, None)
    return (lambda **batch: adapter(model, batch)) if adapter else model


def adapting(make: Callable[[], nn.Module], adapter: Adapter | None) -> Callable[[], nn.Module]:
    """Return what makes models that are read through an adapter."""
    return make if adapter is None else lambda: adapted(make(), adapter)


def adapted(model: nn.Module, adapter: Adapter | None) -> nn.Module:
    """Have a model read through an adapter."""
    if adapter is not None:
        setattr(model, HELD_BY, adapter)
    return model


def adapter_for(contract: Contract, output: Any, takes: frozenset[str] | None) -> Adapter | None:
    """Return what an output for a labelled batch needs to be read; None where it has a name for everything."""
    fields = fields_of(contract, output)
    is_bare = isinstance(output, Tensor) or _is_bare_tuple(output)
    has_loss = isinstance(fields["loss"], Tensor)
    if not any(isinstance(fields[name], Tensor) for name in contract.outputs) or (has_loss and not is_bare):
        return None
    asked = takes is None or set(contract.targets) <= takes
    lost = asked and not has_loss
    return Adapter(contract, takes, _told(contract, output, has_loss, lost), "error" if lost else "note")


def _told(contract: Contract, output: Any, has_loss: bool, lost: bool) -> str:
    names = listed(list(contract.outputs))
    given = f"a tuple, read as {names}" if _is_bare_tuple(output) else f"{names} alone"
    if has_loss:
        return f"forward returns {given} and a loss"
    stand_in = "the checks use the usual cross-entropy instead"
    if lost:
        return f"forward takes {listed(list(contract.targets))} and returns {given}, without a loss; {stand_in}"
    return f"forward returns {given}, without a loss; {stand_in}"


def fields_of(contract: Contract, output: Any) -> dict[str, Any]:
    """Return the outputs and the loss by name; a bare tensor is the first output, a scalar in a tuple the loss."""
    if isinstance(output, Tensor):
        output = (output,)
    if not _is_bare_tuple(output):
        return {name: entry(output, name) for name in (*contract.outputs, "loss")}
    tensors = [part for part in output if isinstance(part, Tensor)]
    scores = [part for part in tensors if part.dim()]
    loss = next((part for part in tensors if not part.dim()), None)
    padded = [*scores, *[None] * len(contract.outputs)]
    return dict(zip(contract.outputs, padded, strict=False)) | {"loss": loss}


def usual_loss(contract: Contract, output: Mapping[str, Any], batch: Mapping[str, Any]) -> Tensor | None:
    """Return the mean cross-entropy of the outputs, the squared error of numbers; None where they do not fit."""
    losses = []
    for target, name in contract.scores.items():
        if not isinstance(output[name], Tensor) or not isinstance(batch.get(target), Tensor):
            return None
        one = _loss(contract, output[name], batch[target])
        if one is None:
            return None
        losses.append(one)
    return sum(losses[1:], losses[0]) / len(losses) if losses else None


def _loss(contract: Contract, scores: Tensor, target: Tensor) -> Tensor | None:
    if target.is_floating_point():
        return F.mse_loss(scores.reshape(target.shape), target) if scores.numel() == target.numel() else None
    if contract.shift and scores.dim() > 2:
        scores, target = scores[:, : -contract.shift], target[:, contract.shift :]
    if scores.shape[:-1] != target.shape:
        return None
    ignored = IGNORED if contract.ignore_index is None else contract.ignore_index
    return F.cross_entropy(scores.flatten(0, -2), target.flatten(), ignore_index=ignored)


def _is_bare_tuple(output: Any) -> bool:
    return isinstance(output, tuple | list) and not hasattr(output, "_fields")

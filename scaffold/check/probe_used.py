"""Which weights the scores of `forward` depend on and predictions are made without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scaffold.check.probe_call import call, seeded
from scaffold.check.probe_predict import predicted
from scaffold.check.probe_rows import ROWS
from scaffold.check.probe_stir import as_model, stir
from scaffold.runtime.contracts import entry

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

READ = {"item", "tolist", "numpy", "__array__", "__float__", "__int__", "__index__", "__bool__"}  # values, no tensors


class Uses(TorchFunctionMode):
    """Notes which tensors others are made of, or numbers; to be asked for its shape or device is no use."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") in READ or any(True for _ in _tensors(result)):
            self.seen.update(map(id, _tensors([*args, *kwargs.values()])))
        return result


def left_out(probe: Probe) -> list[str] | None:
    """Return the outermost parts that scores depend on and the predictions of the same rows do not.

    None where that is all of the model, so that another one predicts, such as an average of this one, and where it is
    compiled, which nothing can watch. A part of a list or a dict is not among them: something may choose which of these
    it goes through. Nor is a lone number, such as a temperature: it need not change which label is likeliest.
    """
    if any(isinstance(part, torch.jit.ScriptModule) or hasattr(part, "_orig_mod") for part in probe.model.modules()):
        return None
    scoring, predicting = _scoring(probe), _predicting(probe)
    if not scoring & predicting:
        return None
    parts = dict.fromkeys(_outermost(name, predicting) for name in sorted(scoring - predicting))
    return [part for part in parts if not _is_chosen(probe.model, part)]


def _scoring(probe: Probe) -> set[str]:
    """Return the parameters of more than one number that the scores of `forward` depend on."""
    model = probe.fresh_stirred()
    several = [(name, one) for name, one in model.named_parameters() if one.is_floating_point() and one.numel() > 1]
    named = {name: one.requires_grad_() for name, one in several}
    output = call(model, as_model(probe.unlabelled, model), grad=True).get()
    scores = [entry(output, name) for name in probe.contract.outputs]
    with seeded():
        total = sum((one * torch.randn_like(one)).sum() for one in scores if one.requires_grad)
    if not isinstance(total, Tensor):
        return set()
    found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
    return {name for name, one in zip(named, found, strict=True) if one is not None and bool(one.any())}


def _predicting(probe: Probe) -> set[str]:
    """Return the parameters that the predictions of the rows that were scored are made of."""
    samples, model = probe.rows.samples(range(ROWS)), stir(probe.fresh())  # type: ignore[attr-defined]
    named = dict(model.named_parameters())  # before anything runs that might put its parts elsewhere
    with Uses() as uses:
        predicted(probe, samples, f"predicting {len(samples)} rows", model).get()
    return {name for name, parameter in named.items() if id(parameter) in uses.seen}


def _outermost(name: str, predicting: Set[str]) -> str:
    """Return the path of the outermost part around a parameter that no prediction goes through."""
    paths = accumulate(name.split("."), "{}.{}".format)
    return next(path for path in paths if not any(f"{one}.".startswith(f"{path}.") for one in predicting))


def _is_chosen(model: nn.Module, part: str) -> bool:
    """Return whether a part is one of a list or a dict of parts."""
    owner = model.get_submodule(part.rpartition(".")[0])
    return isinstance(owner, nn.ModuleList | nn.ModuleDict)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)

"""Calling a model as training does: by keyword, in a given mode, with all randomness from a seed."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scaffold.check.probe_adapt import forward_of
from scaffold.check.probe_crash import Crash, Crashed
from scaffold.runtime.contracts import entry

SEED = 13
OPEN = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


@dataclass(frozen=True)
class Ran:
    """What a call gave: an output, or the crash that it ended in."""

    output: Any = None
    crash: Crash | None = None

    def get(self) -> Any:
        """Return the output; raise Crashed where there is none."""
        if self.crash is not None:
            raise Crashed(self.crash)
        return self.output


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Start all generators at a seed, and put them and the switches of PyTorch back."""
    states, switches = (random.getstate(), np.random.get_state()), (torch.is_grad_enabled(), torch.get_default_dtype())
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_grad_enabled(switches[0])
            torch.set_default_dtype(switches[1])


def attempt(doing: str, work: Callable[[], Any], seed: int = SEED) -> Ran:
    """Do something that the person's code may fail in."""
    try:
        with seeded(seed):
            return Ran(work())
    except Crashed as failed:
        return Ran(crash=failed.crash)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a model that ends the program has failed, too
        return Ran(crash=Crash(doing, error))


def call(
    model: nn.Module,
    batch: Mapping[str, Any],
    *,
    training: bool = False,
    grad: bool = False,
    seed: int = SEED,
    doing: str = "forward",
) -> Ran:
    """Run `forward` on copies of a batch's tensors."""

    def run() -> Any:
        model.train() if training else model.eval()
        with torch.set_grad_enabled(grad):
            return forward_of(model)(**copied(batch))

    return attempt(doing, run, seed)


def backward(model: nn.Module, batch: Mapping[str, Any], *, seed: int = 0, training: bool = True) -> Ran:
    """Run forward and backward; the output is the loss as a number."""

    def run() -> float:
        model.train(training)
        loss = entry(forward_of(model)(**copied(batch)), "loss")
        loss.backward()
        _densify(model)
        return float(loss)

    return attempt("backward", run, seed)


def _densify(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def copied(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with tensors of their own: a model may write into them."""
    return {key: value.clone() if isinstance(value, Tensor) else value for key, value in batch.items()}


def named(model: nn.Module) -> tuple[list[str], bool]:
    """Return the names of what `forward` takes by keyword, and whether it takes any other too."""
    parameters = inspect.signature(model.forward).parameters
    names = [name for name, parameter in parameters.items() if parameter.kind not in OPEN]
    return names, any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())


def required(model: nn.Module) -> list[str]:
    """Return the names of what `forward` must be given."""
    parameters = inspect.signature(model.forward).parameters.items()
    return [
        name
        for name, parameter in parameters
        if parameter.kind not in OPEN and parameter.default is inspect.Parameter.empty
    ]

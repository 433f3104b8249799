"""Models that are too large to be run: counted and shaped without their memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from scaffold.check.probe_call import seeded

MOST = 150_000_000  # parameters: weights, gradients, AdamW's two and a copy in float64 come to 3.6 GB
FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand, torch.full, torch.normal}


class TooLarge(BaseException):
    """A model is being made that has more parameters than can be run here; no `except Exception` may stop this."""


def fake() -> AbstractContextManager[Any]:
    """Return a context in which tensors have shapes and types, but no values and no memory."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def too_large(make: Callable[[], nn.Module]) -> tuple[int, Callable[[], AbstractContextManager[Any]]] | None:
    """Return how many parameters a model has, and in which context it can be made without them, if they are too many.

    Fake tensors are for those models alone: an ordinary one is made as it is, and stopped once it has grown too large.
    """
    try:
        with seeded(), limited():
            make()
    except TooLarge:
        return _counted(make)
    except Exception:  # it is met again, and told, when the model is made to be run
        return None
    return None


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooLarge where a model gets more parameters than MOST, or a tensor of that size before it is made."""
    count = 0

    def add(module: nn.Module, name: str, parameter: Any) -> None:  # noqa: ARG001 - as PyTorch calls it
        nonlocal count
        count += parameter.numel() if isinstance(parameter, nn.Parameter) and not _is_lazy(parameter) else 0
        if count > MOST:
            raise TooLarge

    handle = register_module_parameter_registration_hook(add)
    try:
        with _Allocations():
            yield
    finally:
        handle.remove()


class _Allocations(TorchFunctionMode):
    """Looks at how large a tensor will be, before it is made."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        sizes = args[0] if args and isinstance(args[0], tuple | list) else args
        if func in FACTORIES and all(isinstance(size, int) for size in sizes) and _product(sizes) > MOST:
            raise TooLarge
        return func(*args, **kwargs)


def _product(sizes: Any) -> int:
    product = 1
    for size in sizes:
        product *= size
    return product


def _is_lazy(parameter: nn.Parameter) -> bool:
    return isinstance(parameter, nn.parameter.UninitializedParameter)


def _counted(make: Callable[[], nn.Module]) -> tuple[int, Callable[[], AbstractContextManager[Any]]]:
    for context in (fake, lambda: torch.device("meta")):
        try:
            with seeded(), context():  # type: ignore[attr-defined]
                return sum(parameter.numel() for parameter in make().parameters()), context  # type: ignore[return-value]
        except Exception:  # the other context may do
            continue
    return MOST, fake

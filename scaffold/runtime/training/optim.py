"""Optimizers and schedules from `optim_conf`: any optimizer of torch, warm-up, decay, no weight decay on vectors."""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, get_args

import lightning.pytorch as pl
from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from scaffold.errors import ConfigError, Where, listed, shown
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.objects import instantiate, locate
from scaffold.runtime.plain.registry import registered

log = logging.getLogger(__name__)

KEY = "optim"  # the section of the config that conf/model hands to the model as its optim_conf
Schedule = Literal["constant", "linear", "cosine"]
Shape = Callable[[float], float]
SHAPES: dict[str, Shape] = {"linear": lambda done: 1 - done, "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2}
FUSED_DEVICES = {"cpu", "cuda"}
FUSED_OPTIMIZERS = ("Adam", "AdamW")


class TorchFactory:
    """Makes the optimizer of a module, and a schedule that is set at every optimizer step.

    optimizer: an optimizer's `_target_` and its arguments. schedule: how the rate falls after the warm-up; None leaves
    it as it is, and another name is that of a registered scheduler, a function such as `1 - done**2`: from how much of
    the way is done to how much of lr is left. warmup: the share of all steps in which the rate rises from 0 to lr or,
    from 1 on, the number of steps. final: the share of lr that is left at the end. no_decay: patterns of parameter
    names, such as `*embeddings*`, that get no weight decay; parameters of fewer than two dimensions (biases, norms)
    never do.
    """

    def __init__(
        self,
        optimizer: Mapping[str, Any],
        schedule: Schedule | str | None = None,
        warmup: float = 0.0,
        final: float = 0.0,
        no_decay: Iterable[str] = (),
    ) -> None:
        self.optimizer = dict(optimizer)
        self.schedule = schedule if schedule is None or schedule in get_args(Schedule) else _registered(schedule)
        self.warmup = _within("warmup", warmup, math.inf)
        self.final = _within("final", final, 1)
        self.no_decay = tuple(no_decay)

    def __call__(self, module: pl.LightningModule) -> Any:
        """Return what Lightning expects of `configure_optimizers`."""
        optimizer = self.build(module)
        if self.schedule is None:
            return optimizer
        schedule = self.rates(optimizer, _total_steps(module))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rates(self, optimizer: Optimizer, steps: int) -> LambdaLR:
        """Return the schedule of an optimizer over so many steps; without one the rate stays as it is."""
        if self.schedule is None:
            return LambdaLR(optimizer, lambda _: 1.0)
        warmup = self.warmup * steps if self.warmup < 1 else self.warmup
        if warmup > steps:
            log.warning("optim.warmup=%g is more than the %d steps of training: lr is never reached", warmup, steps)
        rate = functools.partial(rate_at, kind=self.schedule, warmup=round(warmup), steps=steps, final=self.final)
        return LambdaLR(optimizer, rate)

    def build(self, module: nn.Module) -> Optimizer:
        """Return the optimizer over the module's trainable parameters."""
        key = f"{KEY}.optimizer"
        cls = locate(self.optimizer.get("_target_"), key)
        arguments = {name: value for name, value in self.optimizer.items() if not name.startswith("_")}
        if not (isinstance(cls, type) and issubclass(cls, Optimizer)):
            raise _wrong("optimizer", f"{cls.__name__} is not an optimizer")
        check_arguments(cls, ["params", *arguments], key)
        _refuse_no_numbers(cls, arguments)
        trainable = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        groups = parameter_groups(trainable, self.no_decay)
        if _fuses(cls, arguments, trainable.values(), module):
            arguments["fused"] = True
        try:
            return cls(groups, **arguments)
        except (TypeError, ValueError) as error:
            if not cls.__module__.startswith("torch."):
                raise
            raise _wrong("optimizer", f"{cls.__name__} refuses its arguments", because=str(error)) from error


def build_optimizers(optim_conf: Mapping[str, Any], module: pl.LightningModule) -> Any:
    """Return the optimizers that `optim_conf` describes: a factory that is called with the module, or an optimizer.

    Nested targets of a factory stay unbuilt unless it says `_recursive_: true`.
    """
    return _factory(optim_conf)(module)


def build_optimizer(module: Any, steps: int) -> tuple[Optimizer, LambdaLR]:
    """Return the optimizer of a module's `optim_conf` and its schedule over so many steps, for a loop of one's own.

    Errors: ConfigError where `optim_conf` names a factory of its own, which may need Lightning's Trainer.
    """
    factory = _factory(module.optim_conf)
    if not isinstance(factory, TorchFactory):
        raise _wrong(
            "_target_",
            "this loop needs an optimizer that can be built without Lightning",
            because=f"{module.optim_conf.get('_target_')} is called with a module that has a trainer",
            fix="set optim._target_=scaffold.runtime.TorchFactory, or train with train.py",
        )
    optimizer = factory.build(module)
    return optimizer, factory.rates(optimizer, steps)


def _factory(optim_conf: Mapping[str, Any]) -> Callable[[pl.LightningModule], Any]:
    target = locate(optim_conf.get("_target_"), KEY)
    if isinstance(target, type) and issubclass(target, Optimizer):
        return TorchFactory(optim_conf)
    factory = instantiate({"_recursive_": False, **optim_conf}, KEY)
    if not callable(factory):
        raise _wrong("_target_", f"{target.__name__} makes no optimizer: it cannot be called with the model")
    return factory  # type: ignore[no-any-return]


def parameter_groups(parameters: Mapping[str, Tensor], no_decay: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return parameters as two groups: those with the optimizer's weight decay, and those without any."""
    if not parameters:
        raise _wrong(
            "optimizer",
            "there is nothing to train",
            because="every parameter of the model is frozen",
            fix="leave requires_grad of the head's parameters on; a tied head is frozen with its embeddings",
        )
    patterns = tuple(no_decay)
    unused = [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in parameters)]
    if unused:
        raise _wrong(
            "no_decay",
            f"no parameter is called {listed(map(shown, unused))}",
            because=f"there are {listed(parameters)}",
        )
    bare = {name for name, one in parameters.items() if one.ndim < 2 or any(fnmatchcase(name, p) for p in patterns)}
    decayed = [one for name, one in parameters.items() if name not in bare]
    plain = {"params": [parameters[name] for name in parameters if name in bare], "weight_decay": 0.0}
    return [group for group in ({"params": decayed}, plain) if group["params"]]


def rate_at(step: int, *, kind: str | Shape, warmup: int, steps: int, final: float) -> float:
    """Return the share of lr at an optimizer step: up in a line from 0, then down to `final` at the last step."""
    if step < warmup:
        return step / warmup
    if kind == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, steps - warmup))
    left = SHAPES[kind](done) if isinstance(kind, str) else kind(done)
    return final + (1 - final) * left


def _total_steps(module: pl.LightningModule) -> int:
    steps = module.trainer.estimated_stepping_batches
    if math.isinf(steps) or steps < 0:
        raise _wrong(
            "schedule",
            "a schedule needs to know when training ends",
            because="trainer.max_epochs and trainer.max_steps set no end",
            fix="set one of them, or optim.schedule=null",
        )
    return int(steps)


def _fuses(cls: Any, arguments: Mapping[str, Any], parameters: Iterable[Tensor], module: nn.Module) -> bool:
    if cls.__name__ not in FUSED_OPTIMIZERS or not cls.__module__.startswith("torch.optim"):
        return False
    if {"fused", "foreach", "capturable", "differentiable"} & set(arguments):
        return False
    if isinstance(arguments.get("lr"), Tensor) or _has_mixed_precision(module):
        return False
    return all(one.is_floating_point() and one.device.type in FUSED_DEVICES for one in parameters)


def _has_mixed_precision(module: nn.Module) -> bool:
    # Lightning clips no gradients of an optimizer that could unscale them itself, as fused ones can
    trainer = getattr(module, "_trainer", None)
    return trainer is not None and isinstance(trainer.precision_plugin, MixedPrecision)


def _refuse_no_numbers(cls: type[Optimizer], arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(f"optimizer.{name}", f"Expected a finite number, got {value}")
        parameter = inspect.signature(cls).parameters.get(name)
        if isinstance(value, str) and parameter is not None and isinstance(parameter.default, float):
            raise _wrong(f"optimizer.{name}", f"Expected a number, got {shown(value)}")


def _registered(name: str) -> Shape:
    known = f"Expected {listed(get_args(Schedule))}, a registered scheduler or null, got {shown(name)}"
    try:
        found = registered(name, "scheduler")
    except ConfigError as problem:
        raise _wrong("schedule", known, because=problem.because) from None
    if isinstance(found, type):
        because = "a scheduler is a function here: from how much of the way is done to how much of lr is left"
        raise _wrong("schedule", f"{found.__name__} is a class", because=because)
    return found  # type: ignore[no-any-return]


def _within(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        bounds = "0 or more" if math.isinf(most) else f"0 to {most:g}"
        raise _wrong(name, f"Expected a number of {bounds}, got {shown(value)}")
    return float(value)


def _wrong(name: str, what: str, because: str = "", fix: str = "") -> ConfigError:
    place = f"{KEY}.{name}"
    return ConfigError(
        what, because=because, fix=fix or f"correct {place}", where=Where(key=place), code="config.optim"
    )

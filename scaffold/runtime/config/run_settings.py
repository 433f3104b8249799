"""What the config may say of a run and of Lightning's Trainer, checked before anything is written."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_type_hints

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from scaffold.errors import ConfigError, Where, nearest, shown
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Positive, Range, check_types

SECTIONS = ("task", "data", "backbone", "model", "optim", "trainer", "hydra")
RUN_TYPES = {
    "seed": Annotated[int, Range(0, 2**32 - 1)],
    "monitor": str | None,
    "mode": Literal["max", "min"] | None,
    "patience": Positive | None,
    "logger": str | list[str] | None,
    "run_dir": str,
    "resume": str | None,
    "allow": list[str] | None,
}
# narrower than Lightning declares them: it fails late, or not at all, at what is left out here; and two of our own
TRAINER_TYPES = {
    "max_epochs": Positive | Literal[-1] | None,
    "max_steps": Positive | Literal[-1],
    "accumulate_grad_batches": Positive,
    "gradient_clip_val": Annotated[float, Range(0)] | None,
    "callbacks": list[Any] | None,
    "compile": bool | None,
}


def check_run(config: DictConfig) -> None:
    """Raise ConfigError for what a run could not be started with, before anything is written."""
    _refuse_useless(config)
    own = OmegaConf.masked_copy(config, [key for key in RUN_TYPES if key in config])
    check_types(RUN_TYPES, OmegaConf.to_container(own, resolve=True), "")  # type: ignore[arg-type]
    arguments = plain(config, "trainer")
    check_arguments(pl.Trainer, [name for name in arguments if name not in TRAINER_TYPES], "trainer")
    written = {name: value for name, value in arguments.items() if not _is_built(value)}
    check_types(get_type_hints(pl.Trainer.__init__) | TRAINER_TYPES, written, "trainer")
    for callback in arguments.get("callbacks") or []:
        if not _is_built(callback):
            raise ConfigError(
                f"Expected a callback with its _target_, got {shown(callback)}",
                fix="write it as {_target_: package.module.Class}",
                where=Where(key="trainer.callbacks"),
                code="config.value",
            )


def typed_overrides() -> list[str]:
    """Return the overrides of the command line as they were typed; none where Hydra did not start the program."""
    if not HydraConfig.initialized():
        return []
    # not list(…), which would resolve what is typed, such as ${oc.env:NAME}
    typed: list[str] = OmegaConf.to_container(HydraConfig.get().overrides.task)  # type: ignore[assignment]
    return typed


def _refuse_useless(config: DictConfig) -> None:
    """Raise ConfigError for a key that the command line adds and nothing refers to; files may hold such keys."""
    added = {re.split(r"[.=]", text.lstrip("+"))[0] for text in typed_overrides() if text.startswith("+")}
    useless = [name for name in config if name in added - {*SECTIONS, *RUN_TYPES}]
    for name in map(str, useless):
        if not re.search(rf"\$\{{[^}}]*\b{re.escape(name)}\b", OmegaConf.to_yaml(config)):
            raise _useless(name, config)


def _useless(name: str, config: DictConfig) -> ConfigError:
    sections = {f"{section}.{key}": key for section in SECTIONS for key in config.get(section) or ()}
    near = next((path for path, key in sections.items() if key == name), nearest(name, [*RUN_TYPES, *SECTIONS]))
    return ConfigError(
        f"nothing takes the key {shown(name)}",
        because="the command line adds it, and nothing in the config refers to it",
        fix=f"did you mean {near}?" if near else "leave it out, or write it into conf/train.yaml if it is yours",
        where=Where(key=name),
        code="config.key",
    )


def _is_built(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value

"""What the config may say of a run and of Lightning's Trainer, checked before anything is written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_type_hints

import lightning.pytorch as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime.config.arguments import check_arguments
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Positive, Range, check_types
from scaffold.runtime.config.unread import RUN_TYPES

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
    check_types(RUN_TYPES, {key: _resolved(config[key]) for key in RUN_TYPES if key in config}, "")
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


def _resolved(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _is_built(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value

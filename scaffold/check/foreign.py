"""Targets of the config in other packages, which only an import tells of."""

from __future__ import annotations

import inspect
from typing import Any

from scaffold.check.settings import Target
from scaffold.check.source import Source
from scaffold.errors import ConfigError

TRAINER = Target("trainer", "lightning.pytorch.Trainer", (), is_partial=True, positional=0)


def refusal(source: Source, target: Target) -> ConfigError | None:
    """Return why training would not build a target: it does not exist, or it may not be used."""
    try:
        located(source, target)
    except ConfigError as error:
        return error
    return None


def located(source: Source, target: Target) -> Any:
    """Import the class or function that a target names; an error inside its module passes unchanged.

    Errors: ConfigError where there is none, or none that may be used.
    """
    from scaffold.runtime.config.objects import locate

    return locate(target.name, target.key, source.settings.tree.get("allow") or ())


def taken(source: Source, target: Target) -> dict[str, inspect.Parameter] | None:
    """Return what a target takes; None where it does not exist or does not say."""
    try:
        return dict(inspect.signature(located(source, target)).parameters)
    except (ConfigError, TypeError, ValueError):  # a class written in C does not say
        return None


def trainer_names(source: Source) -> list[str]:
    """Return the keys that conf/trainer may have: the arguments of Lightning's Trainer, and the runtime's own."""
    from scaffold.runtime.config.run_settings import TRAINER_TYPES

    return [*(taken(source, TRAINER) or ()), *TRAINER_TYPES]

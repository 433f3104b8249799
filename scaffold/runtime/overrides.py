"""Options of a trained model that are changed for one evaluation or prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime.config.settings import read_settings

SECTION = "task"
# options that say what a model has learnt: its weights and vocabulary are of one value, whatever is asked of it later
LEARNT = ("target",)


def change_options(model: Any, overrides: Sequence[str]) -> None:
    """Change the task's options of a loaded model, each written as `task.KEY=VALUE`; the checkpoint stays as it is.

    Errors: ConfigError for what is no option of the task, for what training has settled, and for values it refuses.
    """
    if not overrides:
        return
    _check_keys(overrides)
    context = model.recipe.context
    values = _merged(asdict(context.options), overrides)
    options = read_settings(type(context.options), values, SECTION)
    _refuse_learnt(context.options, options)
    model.bind(replace(model.recipe, context=replace(context, options=options)))


def _check_keys(overrides: Sequence[str]) -> None:
    for text in overrides:
        if not text.startswith(f"{SECTION}.") or "=" not in text:
            raise ConfigError(
                f"{shown(text)} cannot be changed after training",
                because=f"expected {SECTION}.KEY=VALUE, as only the task's options can be changed",
                fix=f"write it as {SECTION}.KEY=VALUE, or train again",
                where=Where(key=text.partition("=")[0]),
            )


def _refuse_learnt(before: Any, after: Any) -> None:
    for name in LEARNT:
        known = getattr(before, name, None)
        if getattr(after, name, None) != known:
            raise ConfigError(
                f"{SECTION}.{name} cannot be changed after training",
                because=f"the model has learnt with {SECTION}.{name}={known}: its weights and labels are made for that",
                fix=f"leave it out, or train again with {SECTION}.{name}={getattr(after, name)}",
                where=Where(key=f"{SECTION}.{name}"),
                code="config.learnt",
            )


def _merged(options: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    try:
        settings = OmegaConf.merge({SECTION: dict(options)}, OmegaConf.from_dotlist(list(overrides)))
        found: dict[str, Any] = OmegaConf.to_container(settings)[SECTION]  # type: ignore[index,call-overload,assignment]
    except (OmegaConfBaseException, YAMLError) as problem:
        raise ConfigError(
            "the changed options cannot be read",
            because=" ".join(str(problem).split()),
            fix=f"write each as {SECTION}.KEY=VALUE",
        ) from None
    return found

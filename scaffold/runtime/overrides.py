"""What may be changed for one evaluation or prediction: the options of the task, and how the rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from scaffold.errors import ConfigError, Where, listed, shown
from scaffold.runtime.config.settings import read_settings

SECTION = "task"
READING = ("data.columns.", "data.format=", "data.on_bad_row=")
# options that say what a model has learnt: its weights and vocabulary are of one value, whatever is asked of it later
LEARNT = ("target",)


def check_overrides(overrides: Sequence[str]) -> None:
    """Raise ConfigError for what cannot be changed after training."""
    for text in overrides:
        if not (text.lstrip("+").startswith(f"{SECTION}.") or _is_of_reading(text)) or "=" not in text:
            raise ConfigError(
                f"{shown(text)} cannot be changed after training",
                because=f"expected {SECTION}.KEY=VALUE, {listed(f'{key}…' for key in READING)}",
                fix="leave it out, or train again",
                where=Where(key=text.partition("=")[0]),
            )


def change_options(model: Any, overrides: Sequence[str]) -> None:
    """Change the task's options of a loaded model as overrides like `task.KEY=VALUE` say; its checkpoint stays.

    Errors: ConfigError for what is no option of the task, for what training has settled, and for values it refuses.
    """
    changes = [text.lstrip("+") for text in overrides if not _is_of_reading(text)]
    if not changes:
        return
    context = model.recipe.context
    values = _parsed(changes, {SECTION: asdict(context.options)})[SECTION]
    options = read_settings(type(context.options), values, SECTION)
    _refuse_learnt(context.options, options)
    model.bind(replace(model.recipe, context=replace(context, options=options)))


def change_reading(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Return a run's config, in which what is said of reading is changed, as in `data.columns.FIELD=COLUMN`."""
    changes = [text.lstrip("+") for text in overrides if _is_of_reading(text)]
    copy: DictConfig = config.copy()
    for key, value in _parsed(changes).get("data", {}).items():
        OmegaConf.update(copy, f"data.{key}", value, force_add=True, merge=True)
    return copy


def _is_of_reading(override: str) -> bool:
    return override.lstrip("+").startswith(READING)


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


def _parsed(overrides: Sequence[str], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    try:
        settings = OmegaConf.merge(dict(known or {}), OmegaConf.from_dotlist(list(overrides)))
        return OmegaConf.to_container(settings)  # type: ignore[return-value]
    except (OmegaConfBaseException, YAMLError) as problem:
        raise ConfigError(
            "the changed options cannot be read",
            because=" ".join(str(problem).split()),
            fix="write each as KEY=VALUE",
        ) from None

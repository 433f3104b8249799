"""What a class or function takes, against the names that a config gives it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from scaffold.errors import ConfigError, Where, listed, nearest, shown

Parameters = Mapping[str, inspect.Parameter]


def check_arguments(target: Callable[..., Any], names: Iterable[str], key: str) -> None:
    """Raise ConfigError for every name that `target` does not take and every one that it needs and does not get."""
    names, parameters = list(names), parameters_of(target)
    refuse_arguments(target, unknown(parameters, names), missing(parameters, names), key)


def parameters_of(target: Callable[..., Any]) -> Parameters:
    """Return what a class or function takes; anything, where it does not say."""
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # a class written in C does not say
        return inspect.signature(lambda *_args, **_names: None).parameters


def unknown(parameters: Parameters, names: Iterable[str]) -> list[str]:
    """Return the names that are not taken."""
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    named = {name for name, one in parameters.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return [name for name in names if name not in named]


def missing(parameters: Parameters, names: Iterable[str], positional: int = 0) -> list[str]:
    """Return the names that are needed and not given; `positional` arguments are given without a name."""
    needed = [
        name
        for name, one in parameters.items()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    return [name for name in needed[positional:] if name not in set(names)]


def refuse_arguments(target: Any, surplus: Sequence[str], lacking: Sequence[str], key: str) -> None:
    """Raise ConfigError where there is a name too many or too few."""
    called, parameters = getattr(target, "__qualname__", str(target)), parameters_of(target)
    problems = [f"{called} takes no argument {shown(name)}" for name in surplus]
    problems += [f"{called} needs the argument {name}" for name in lacking]
    if not problems:
        return
    first = [*surplus, *lacking][0]
    near = nearest(first, parameters) if surplus else None
    place = f"{key}.{first}".lstrip(".")
    raise ConfigError(
        problems[0],
        because=f"it takes {listed(parameters, 20) or 'none'}",
        fix=f"did you mean {near}?" if near else f"{'remove' if surplus else 'set'} {place}",
        where=Where(key=place),
        code="config.argument",
    ).with_details(problems[1:])

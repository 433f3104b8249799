"""Values of the config against the types that they are declared with: wrong ones are found before anything is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime.config.arguments import check_arguments

T = TypeVar("T")
QUOTE = "quote it if a text is meant: YAML reads the words yes, no, on and off as truth values"
WORDS = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", NoneType: "null"}


@dataclass(frozen=True)
class Range:
    """The bounds of a number, for `Annotated`."""

    least: float
    most: float = math.inf

    def __str__(self) -> str:
        return f"of at least {self.least:g}" if math.isinf(self.most) else f"from {self.least:g} to {self.most:.10g}"


Positive = Annotated[int, Range(1)]
Natural = Annotated[int, Range(0)]


def read_settings(cls: type[T], values: Mapping[str, Any], key: str) -> T:
    """Return a section of the config as a dataclass.

    Errors: ConfigError for a key that does not exist or is missing, for values of another type or range than the
    fields are annotated with, and for what the class refuses with a ValueError.
    """
    check_arguments(cls, list(values), key)
    check_types(get_type_hints(cls, include_extras=True), values, key)
    try:
        return cls(**values)
    except ValueError as problem:
        raise ConfigError(
            f"the settings of {key} do not fit together",
            because=str(problem),
            fix=f"correct {key}",
            where=Where(key=key),
            code="config.value",
        ) from None


def check_types(types: Mapping[str, Any], values: Mapping[str, Any], key: str) -> None:
    """Raise ConfigError for values that are not of the type that their name is declared with."""
    wrong = {name: types[name] for name, value in values.items() if name in types and not fits(value, types[name])}
    if not wrong:
        return
    keys = {name: f"{key}.{name}".lstrip(".") for name in wrong}
    found = {name: "null" if values[name] is None else shown(values[name]) for name in wrong}
    first, *others = wrong
    is_word = isinstance(values[first], bool) and fits("", wrong[first])
    raise ConfigError(
        f"{keys[first]} cannot be {found[first]}",
        because=f"expected {described(wrong[first])}",
        fix=QUOTE if is_word else f"set {keys[first]} to such a value",
        where=Where(key=keys[first]),
        code="config.value",
    ).with_details([f"{keys[name]} cannot be {found[name]}: expected {described(wrong[name])}" for name in others])


def simple_types(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hints made of texts, numbers, null and choices: no others are known to be meant strictly."""
    return {
        name: hint
        for name, hint in hints.items()
        if all(member in WORDS or get_origin(member) is Literal for member in _members(hint))
    }


def read_values(cls: type[Any], arguments: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return arguments for a class, whole numbers as floats where its constructor is annotated with floats alone.

    Errors: ConfigError for values that are not of the simple types that it is annotated with.
    """
    try:
        hints = get_type_hints(cls.__init__)
    except NameError:  # a name that is imported for type checkers only
        return dict(arguments)
    check_types(simple_types(hints), arguments, key)
    return {name: _as_float(value, _members(hints.get(name))) for name, value in arguments.items()}


def _as_float(value: Any, members: tuple[Any, ...]) -> Any:
    if type(value) is int and float in members and int not in members:
        return float(value)
    if isinstance(value, list) and any(get_args(member)[:1] == (float,) for member in members):
        return [_as_float(item, (float,)) for item in value]
    return value


def fits(value: Any, hint: Any) -> bool:
    """Return whether a plain value is of an annotated type; what cannot be told fits."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return fits(value, arguments[0]) and (not _is_number(value) or _within(value, arguments[1:]))
    if origin in (Union, UnionType):
        return any(fits(value, member) for member in arguments)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if hint in (int, float):
        return _is_number(value) and (hint is float or isinstance(value, int))
    if isinstance(origin, type):
        return isinstance(value, origin) and not isinstance(value, str)
    return isinstance(value, hint) if isinstance(hint, type) else True


def is_plain(value: Any) -> bool:
    """Return whether a value is plain data, which JSON and a checkpoint can hold: numbers, texts, lists, dicts."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return isinstance(value, str | int | float | bool | None)


def described(hint: Any) -> str:
    """Return in words what fits a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{described(arguments[0])} {arguments[1]}"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(described(member) for member in arguments if member is not Path))
    if origin is Literal:
        return " or ".join(dict.fromkeys(map(str, arguments)))
    if isinstance(origin, type):
        return "keys with values" if issubclass(origin, Mapping) else "a list"
    return WORDS.get(hint) or str(getattr(hint, "__name__", hint))


def _members(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _within(value: float, bounds: tuple[Any, ...]) -> bool:
    return all(bound.least <= value <= bound.most for bound in bounds if isinstance(bound, Range))

"""What a row of the data becomes: a typed sample that knows where it was read."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from scaffold.errors import shown

Convert = Callable[[Any], Any]
BLANKS = "part the items of a list by blanks, not by what parts the columns"
OWN_FIELDS = ("origin", "extra")
_PLANS: dict[Any, tuple[_Field, ...]] = {}


class BadRow(ValueError):  # noqa: N818 - a finding about the data, collected with its like before anything fails
    """What is wrong with one row; whoever holds the file adds its name and line.

    below: how many lines below the row's first one it is. fix: what to do, where more than mending the row would help.
    row_id: the row's own id, which whoever knows it sets.
    """

    row_id: object = None

    def __init__(self, message: str = "", below: int = 0, fix: str = "") -> None:
        super().__init__(message)
        self.below, self.fix = below, fix


class NoList(BadRow):
    """A text that was to hold the items of a list, and does not: what parts the columns may stand between them."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file, and the 1-based line on which a row begins."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Sample:
    """One row of the data; a task's sample is a dataclass below it that declares its fields."""

    aliases: ClassVar[Mapping[str, str]] = {}  # another column's name -> the field that it may stand for
    formats: ClassVar[Mapping[str, Any]] = {}  # suffix -> a format that only such rows are read from
    label_help: ClassVar[str] = "check data.columns, and that task.target fits the labels"  # where rows have no two
    origin: Origin | None = field(default=None, repr=False, compare=False, kw_only=True)
    extra: dict[str, Any] = field(default_factory=dict, kw_only=True)

    @classmethod
    def field_names(cls) -> tuple[str, ...]:
        """Return the fields that the task declares, in the order of a file's columns."""
        return tuple(item.name for item in _plan(cls))

    @classmethod
    def required_fields(cls) -> tuple[str, ...]:
        """Return the fields that every row must fill."""
        return tuple(item.name for item in _plan(cls) if item.required)

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return the sample of a row given as values by name; names that are no field go to `extra`.

        Text is converted to what the annotation says: numbers are read, a list is split at spaces.
        A blank text counts as absent. Raises BadRow.
        """
        values: dict[str, Any] = {}
        known = 0
        for name, convert, required, is_list in _plan(cls):
            value = fields.get(name)
            if value is None or (value.__class__ is str and (not value or value.isspace())):
                known += name in fields
                if required:
                    raise BadRow(_absent(name, value))
                continue
            known += 1
            try:
                values[name] = convert(value)
            except ValueError as problem:
                message = f"expected {problem} in '{name}', got {shown(value)}"
                raise (NoList(message, fix=BLANKS) if is_list and value.__class__ is str else BadRow(message)) from None
        if known != len(fields):
            names = cls.field_names()
            values["extra"] = {name: value for name, value in fields.items() if name not in names}
        sample = cls(**values)
        sample.check()
        return sample

    def check(self) -> None:
        """Raise BadRow where fields do not fit together; a task's sample overrides it when it has such a rule."""

    def as_row(self) -> dict[str, Any]:
        """Return the sample as a plain row for output: its fields, then what the input had besides."""
        return {name: getattr(self, name) for name in self.field_names()} | self.extra


class _Field(typing.NamedTuple):
    name: str
    convert: Convert
    required: bool
    is_list: bool


def _plan(cls: type[Sample]) -> tuple[_Field, ...]:
    if cls not in _PLANS:
        _PLANS[cls] = _planned(cls)
    return _PLANS[cls]


def _planned(cls: type[Sample]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    return tuple(
        _Field(item.name, _converter(hints[item.name], item.name, cls), _is_required(item), _is_list(hints[item.name]))
        for item in dataclasses.fields(cls)
        if item.name not in OWN_FIELDS
    )


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _is_list(hint: Any) -> bool:
    """Return whether a field holds a list, where it may hold more than one kind of value."""
    return any(typing.get_origin(kind) is list for kind in (hint, *typing.get_args(hint)))


def _absent(name: str, value: object) -> str:
    return f"expected a value in '{name}', got " + ("nothing" if value is None else f"the empty text {shown(value)}")


def _converter(hint: Any, name: str, cls: type[Sample]) -> Convert:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    if typing.get_origin(hint) is list:
        return _list_of(*(_converter(item, name, cls) for item in typing.get_args(hint)))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(hint) if item is not type(None)]
        return _one_of([_converter(item, name, cls) for item in sorted(members, key=_rank)])
    raise TypeError(
        f"Expected the field '{name}' of {cls.__name__} to be annotated with str, int, float, bool, a list of these, "
        f"or a union of them, got {hint}; override `parse` for other types."
    )


def _rank(hint: Any) -> int:
    # a text stays a text where a union allows one; "3" is then not read as a number, nor split into a list
    ranks: dict[Any, int] = {str: 0, bool: 1, int: 2, float: 3}
    return ranks.get(hint, 4)


def _one_of(converters: list[Convert]) -> Convert:
    if len(converters) == 1:
        return converters[0]

    def convert(value: Any) -> Any:
        expected = []
        for member in converters:
            try:
                return member(value)
            except ValueError as problem:
                expected.append(str(problem))
        raise ValueError(" or ".join(expected))

    return convert


def _list_of(convert: Convert) -> Convert:
    def convert_all(value: Any) -> list[Any]:
        if isinstance(value, str):
            # not str.split(): that would also cut at no-break spaces and line separators inside a token
            value = [item for item in value.split(" ") if item]
        elif not isinstance(value, (list, tuple)):
            raise ValueError("a list")
        try:
            return [convert(item) for item in value]
        except ValueError as problem:
            raise ValueError(f"a list with {problem} in every place") from None

    return convert_all


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise ValueError("a text")


def _truth(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if isinstance(value, bool):
        return value
    raise ValueError("true or false")


def _whole_number(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and "_" not in value:
        try:
            return int(value)
        except ValueError:
            pass
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("a whole number")


def _number(value: Any) -> float:
    plain = value.isascii() and "_" not in value if isinstance(value, str) else isinstance(value, (int, float))
    if plain and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError("a finite number")


def _anything(value: Any) -> Any:
    return value


_SIMPLE: dict[Any, Convert] = {
    str: _text,
    bool: _truth,
    int: _whole_number,
    float: _number,
    Any: _anything,
    list: _list_of(_anything),
    dict: _anything,
}

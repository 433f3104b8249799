"""Models and their parts by name: what a module of the project registers is found without naming its place."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, get_args

from scaffold.errors import ConfigError, RefusedError, Where, listed, nearest, shown
from scaffold.runtime.config.objects import project_packages

Kind = Literal["model", "dataset", "collator", "metric", "optimizer", "scheduler", "callback"]
KINDS: tuple[str, ...] = get_args(Kind)
T = TypeVar("T")


@dataclass(frozen=True)
class Registration:
    """An object under its name, and where it was defined."""

    name: str
    kind: str
    target: Any
    file: str
    line: int
    module: ModuleType | None

    @property
    def path(self) -> str:
        """The dotted path of the object, as a `_target_` names it."""
        return f"{self.target.__module__}.{self.target.__qualname__}"

    @property
    def place(self) -> str:
        """File and line."""
        return f"{self.file}:{self.line}"

    @property
    def is_alive(self) -> bool:
        """Whether the module that defined it is still loaded."""
        return self.module is sys.modules.get(self.target.__module__)


_TABLE: dict[tuple[str, str], Registration] = {}


def register(name: str, kind: Kind = "model") -> Callable[[T], T]:
    """Put a class or function under a name; case, `-` and `_` make no difference.

    Importing its module once more replaces it. Errors: RefusedError for two different objects under one name.
    """
    if kind not in KINDS:
        raise _unknown_kind(kind)

    def put(target: T) -> T:
        new = Registration(name, kind, target, *_source(target), sys.modules.get(target.__module__))
        old = _TABLE.get((kind, _spelling(name)))
        if old is not None and old.is_alive and old.path != new.path:
            raise RefusedError(
                f"two different objects are registered as the {kind} {shown(name)}",
                because=f"{old.path} in {old.place}, and {new.path} in {new.place}",
                fix="give one of them another name",
                where=Where(file=new.file, line=new.line),
                code="refused.registered",
            )
        _TABLE[kind, _spelling(name)] = new
        return target

    return put


def registered(name: str, kind: Kind = "model", packages: Iterable[str] = ()) -> Any:
    """Return what is registered under a name by the project in the current folder, or by further packages.

    Errors: ConfigError for an unknown name, with the nearest one.
    """
    return find(name, kind, packages).target


def find(name: str, kind: str, packages: Iterable[str] = ()) -> Registration:
    """Return the registration behind a name; errors as for `registered`."""
    if kind not in KINDS:
        raise _unknown_kind(kind)
    entries = registrations(kind, packages)
    found = next((entry for entry in entries if is_same_name(entry.name, str(name))), None)
    if found is not None:
        return found
    names = [entry.name for entry in entries]
    near = nearest(name, names)
    raise ConfigError(
        f"no {kind} is registered as {shown(name)}",
        because=f"registered are {listed(names, 20)}" if names else f"the project registers no {kind}",
        fix=f"did you mean {near}?"
        if near
        else f'put @register("{name}", "{kind}") above it, and run from its project',
        code="config.registered",
    )


def registrations(kind: str | None = None, packages: Iterable[str] = ()) -> list[Registration]:
    """Return what the project in the current folder registers, by kind and name; its modules are imported for that."""
    for module in _registering_modules({*project_packages(), *packages}):
        importlib.import_module(module)
    found = [entry for entry in _TABLE.values() if entry.is_alive and kind in (None, entry.kind)]
    return sorted(found, key=lambda entry: (KINDS.index(entry.kind), _spelling(entry.name)))


def name_of(target: Any, kind: Kind = "model") -> str | None:
    """Return the name that an object is registered under, if there is one."""
    return next((entry.name for entry in _TABLE.values() if entry.target is target and entry.kind == kind), None)


def target_of(name: str, kind: Kind = "model") -> str:
    """Return the dotted path of what is registered: `_target_: ${registered:my-adam,optimizer}` in a config."""
    return find(name, kind).path


def is_same_name(one: str, other: str) -> bool:
    """Return whether two names are the same, whatever their case and dashes."""
    return _spelling(one) == _spelling(other)


def _registering_modules(packages: set[str]) -> Iterator[str]:
    """Yield the modules of packages that mention the registry; the others need not be imported."""
    for package in sorted(packages):
        specification = importlib.util.find_spec(package)
        for folder in (specification.submodule_search_locations or ()) if specification else ():
            for file in sorted(Path(folder).rglob("*.py")):
                if file.name != "__main__.py" and "register(" in file.read_text(encoding="utf-8", errors="replace"):
                    parts = file.relative_to(folder).with_suffix("").parts
                    yield ".".join([package, *(part for part in parts if part != "__init__")])


def _spelling(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def _source(target: Any) -> tuple[str, int]:
    if not isinstance(target, type) and not inspect.isfunction(target):
        raise ConfigError(
            f"only classes and functions can be registered, got {shown(target)}",
            because="an object would be shared by everything that asks for it by its name",
            fix="register its class, or a function that makes it",
            code="config.registered",
        )
    try:
        file, line = inspect.getsourcefile(target) or "?", inspect.getsourcelines(target)[1]
    except (OSError, TypeError):  # typed into an interpreter
        file, line = target.__module__, 0
    return (os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file), line


def _unknown_kind(kind: object) -> ConfigError:
    near = nearest(kind, KINDS)
    return ConfigError(
        f"nothing can be registered as {shown(kind)}",
        because=f"the kinds are {listed(KINDS)}",
        fix=f"did you mean {near}?" if near else "name one of these",
        code="config.registered",
    )

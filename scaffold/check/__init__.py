"""Finds what is wrong with a custom model before it is trained; the names here are loaded when they are first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Finding": "finding",
    "NotChecked": "finding",
    "Report": "finding",
    "Rule": "rule",
    "check_model": "run",
    "check_path": "run",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scaffold.check' has no attribute {name!r}")
    return getattr(import_module(f"scaffold.check.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

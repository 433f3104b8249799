"""Parts of a model that the person did not write: what a library put into a model of its own."""

from __future__ import annotations

import inspect
from collections.abc import Set

from torch import nn

from scaffold.check.probe_crash import is_own


def unused_part(model: nn.Module, parameter: str, dead: Set[str]) -> str:
    """Return the outermost part of a library's model that holds a dead parameter and none that is alive.

    Empty where there is none: a layer that the person made, or a library's model of which nothing is used.
    """
    names = parameter.split(".")[:-1]
    paths = [".".join(names[: count + 1]) for count in range(len(names))]
    first = next((path for path in paths if _is_library(model.get_submodule(path))), None)
    inner = [path for path in paths if first is not None and path.startswith(f"{first}.")]
    if first is None or _is_dead(model, first, dead):
        return ""
    return next((path for path in inner if _is_dead(model, path, dead)), "")


def _is_dead(model: nn.Module, path: str, dead: Set[str]) -> bool:
    return all(f"{path}.{name}" in dead for name, _ in model.get_submodule(path).named_parameters())


def _is_library(part: nn.Module) -> bool:
    """Return whether a part is of a class that neither the person wrote nor PyTorch, whose layers they choose."""
    cls = type(part)
    if cls.__module__.partition(".")[0] == "torch":
        return False
    try:
        file = inspect.getsourcefile(cls)
    except TypeError:
        file = None
    return file is not None and not is_own(file)

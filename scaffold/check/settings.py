"""The config of a project as the static half reads it: composed, with the file and line of every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scaffold.check.code import Place, typed
from scaffold.runtime.config.places import Places


@dataclass(frozen=True)
class Target:
    """A section of the config that names a class or function and gives it arguments."""

    key: str
    name: str
    arguments: tuple[str, ...]
    is_partial: bool
    positional: int


@dataclass(frozen=True)
class Settings:
    """A composed config and the folder it comes from. choices: group -> the file of it that is chosen."""

    folder: Path
    composed: DictConfig
    choices: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def tree(self) -> dict[str, Any]:
        """Return the config as plain data, with references as they are written."""
        return OmegaConf.to_container(self.composed, resolve=False)  # type: ignore[return-value]

    def values(self) -> Iterator[tuple[str, Any]]:
        """Yield every value that is no section, with its key."""
        yield from _values(self.tree, "")

    def targets(self) -> Iterator[Target]:
        """Yield every section with a `_target_`, those inside others too."""
        yield from _targets(self.tree, "")

    @cached_property
    def _places(self) -> Places:
        return Places(self.folder, self.choices)

    def place(self, key: str) -> Place:
        """Return file and line of a key, as far as they are found."""
        if found := self._places.of(key):
            return {"file": typed(found[0]), "line": found[1]}
        parent = key.rpartition(".")[0]
        return self.place(parent) if parent else {"file": typed(self.folder / "train.yaml")}


def _children(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        yield from ((f"{key}.{name}".lstrip("."), child) for name, child in node.items())
    elif isinstance(node, list):
        yield from ((f"{key}[{number}]", child) for number, child in enumerate(node))


def _values(node: Any, key: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict | list):
        yield key, node
    for inner, child in _children(node, key):
        yield from _values(child, inner)


def _targets(node: Any, key: str) -> Iterator[Target]:
    if isinstance(node, dict) and isinstance(node.get("_target_"), str):
        given = tuple(str(name) for name in node if not str(name).startswith("_"))
        positional = len(node.get("_args_") or ())
        yield Target(key, node["_target_"], given, bool(node.get("_partial_")), positional)
    for inner, child in _children(node, key):
        yield from _targets(child, inner)

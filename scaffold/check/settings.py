"""The config of a project as the static half reads it: composed, with the file and line of every key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from scaffold.check.code import Place, typed


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
    _lines: dict[str, dict[str, int]] = field(default_factory=dict)

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

    def place(self, key: str) -> Place:
        """Return file and line of a key, as far as they are found."""
        group, _, inner = key.partition(".")
        chosen = self.choices.get(group, "default")
        files = sorted((self.folder / group).glob("*.yaml"), key=lambda path: path.stem != chosen)
        within = [(path, inner) for path in files if inner]
        for path, inside in [*self._of_experiment(key), *within, *((path, key) for path in self._top())]:
            if line := self._lines_of(path).get(inside):
                return {"file": typed(path), "line": line}
        parent = key.rpartition(".")[0]
        return self.place(parent) if parent else {"file": typed(self.folder / "train.yaml")}

    def _of_experiment(self, key: str) -> list[tuple[Path, str]]:
        name = self.choices.get("experiment", "null")
        return [] if name == "null" else [(experiment_file(self.folder, name), key)]

    def _top(self) -> list[Path]:
        return [self.folder / "train.yaml", *sorted(self.folder.glob("*/*.yaml"))]

    def _lines_of(self, path: Path) -> dict[str, int]:
        name = str(path)
        if name not in self._lines:
            self._lines[name] = dict(lines_of(path))
        return self._lines[name]


def lines_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each key of a YAML file with its line."""
    try:
        yield from _lines(yaml.compose(path.read_bytes(), Loader=yaml.SafeLoader), "")
    except (yaml.YAMLError, OSError):  # the rule `config` reports it
        return


def _lines(node: yaml.Node | None, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for name, child in node.value:
            inner = f"{key}.{name.value}".lstrip(".")
            yield inner, name.start_mark.line + 1
            yield from _lines(child, inner)
    elif isinstance(node, yaml.SequenceNode):
        for number, child in enumerate(node.value):
            yield f"{key}[{number}]", child.start_mark.line + 1
            yield from _lines(child, f"{key}[{number}]")


def experiment_file(folder: Path, name: str) -> Path:
    """Return the file of an experiment."""
    return folder / "experiment" / f"{name}.yaml"


def choices(folder: Path, overrides: Iterable[str] = ()) -> dict[str, str]:
    """Return which file of each group is chosen: by the overrides, else by the experiment, else by `train.yaml`."""
    typed_in = dict(text.split("=", 1) for text in overrides if text.count("=") == 1)
    chosen = _chosen(folder / "train.yaml")
    experiment = typed_in.get("experiment", chosen.get("experiment", "null"))
    return chosen | _chosen(experiment_file(folder, experiment)) | typed_in


def _chosen(path: Path) -> dict[str, str]:
    items = [item for item in _defaults(path) if isinstance(item, dict)]
    pairs = [(str(group), choice) for item in items for group, choice in item.items()]
    return {
        group.removeprefix("override ").strip("/"): "null" if choice is None else str(choice) for group, choice in pairs
    }


def _defaults(path: Path) -> list[Any]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, OSError):
        return []
    return (content.get("defaults") if isinstance(content, dict) else None) or []


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

"""Where the keys of a config are written: the files of `conf/`, with their lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from scaffold.errors import ConfigError, Where

EXPERIMENT = "experiment"
GLOBAL = "# @package _global_"
HEADER = re.compile(r"^\s*#\s*@package\s*:?\s*_global_", re.MULTILINE)


class Places:
    """The keys of a `conf/` folder. choices: group -> the file of it that is chosen."""

    def __init__(self, folder: Path, choices: Mapping[str, str]) -> None:
        self.folder, self.choices = folder, choices
        self._lines: dict[Path, dict[str, int]] = {}

    def of(self, key: str) -> tuple[Path, int] | None:
        """Return file and line of a key: in the experiment, which wins, in its group's file, or in `train.yaml`."""
        group, _, inner = key.partition(".")
        within = [(path, inner) for path in self._chosen_of(group) if inner]
        for path, inside in [*self._of_experiment(key), *within, *((path, key) for path in self._top())]:
            if line := self._lines_of(path).get(inside):
                return path, line
        return None

    def _of_experiment(self, key: str) -> list[tuple[Path, str]]:
        name = self.choices.get(EXPERIMENT, "null")
        return [] if name == "null" else [(experiment_file(self.folder, name), key)]

    def _chosen_of(self, group: str) -> list[Path]:
        """Return the file of a group that is chosen, and those of the same folder that its defaults name."""
        if not self.choices:  # not known, so that any may be
            return sorted((self.folder / group).glob("*.yaml"))
        files = [self.folder / group / f"{self.choices[group]}.yaml"] if group in self.choices else []
        for file in files:  # which grows
            named = [self.folder / group / f"{item}.yaml" for item in _defaults(file) if isinstance(item, str)]
            files += [path for path in named if path not in files and path.is_file()]
        return files

    def _top(self) -> list[Path]:
        chosen = [path for group in self.choices for path in self._chosen_of(group) if path.is_file()]
        return [self.folder / "train.yaml", *filter(is_global, chosen)]

    def _lines_of(self, path: Path) -> dict[str, int]:
        if path not in self._lines:
            self._lines[path] = dict(lines_of(path))
        return self._lines[path]


def located(where: Where, typed: Sequence[str], folder: Path = Path("conf")) -> Where:
    """Return the place of a key with the file and line that set it, where the command line does not.

    Nor is there one in a sweep over files, as it is not known which of its runs ended.

    typed: the overrides of the command line.
    """
    pairs = [text.lstrip("+~").partition("=")[::2] for text in typed]
    groups = {key: choice for key, choice in pairs if re.fullmatch(r"[\w/-]{1,99}", key) and (folder / key).is_dir()}
    values = {key for key, _ in pairs if key not in groups or key == where.key}
    if where.file or not where.key or any(_overlap(where.key, key) or key == "resume" for key in values):
        return where
    if any(re.search(r"[,(]", choice) for choice in groups.values()):
        return where
    place = Places(folder, choices(folder, typed)).of(where.key)
    return replace(where, file=str(place[0]), line=place[1]) if place else where


def lines_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each key of a YAML file with its line."""
    try:
        yield from _lines(yaml.compose(path.read_bytes(), Loader=yaml.SafeLoader), "")
    except (yaml.YAMLError, OSError):  # composing the config reports it
        return


def is_global(path: Path) -> bool:
    """Return whether a file is laid over the whole config, and not over the section that its folder names."""
    return HEADER.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def experiment_file(folder: Path, name: str) -> Path:
    """Return the file of an experiment."""
    return folder / EXPERIMENT / f"{name}.yaml"


def choices(folder: Path, overrides: Iterable[str] = ()) -> dict[str, str]:
    """Return which file of each group is chosen: by the overrides, else by the experiment, else by `train.yaml`."""
    typed_in = dict(text.split("=", 1) for text in overrides if text.count("=") == 1)
    chosen = _chosen(folder / "train.yaml")
    experiment = typed_in.get(EXPERIMENT, chosen.get(EXPERIMENT, "null"))
    return chosen | _chosen(experiment_file(folder, experiment)) | typed_in


def headless(file: Path) -> ConfigError:
    """Return what is wrong with an experiment's file that does not say that it is laid over the whole config."""
    return ConfigError(
        "the experiment would change nothing",
        because=f"the line {GLOBAL} is missing, so that what it sets stands below {EXPERIMENT}, where nothing reads it",
        fix=f"write {GLOBAL} as the first line of the file",
        where=Where(file=str(file)),
        code="config.experiment",
    )


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


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

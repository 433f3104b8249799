"""Lays the folders of a template over one another, so that copier sees one: base, template, and what answers add."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import yaml

from scaffold.project.catalog import MANIFEST, Template, damaged
from scaffold.project.questions import is_met

SUFFIX = ".jinja"
TREE = "tree"
CONDITIONAL = "_when"
IGNORED = frozenset({"__pycache__", ".DS_Store", ".ruff_cache", ".mypy_cache", ".pytest_cache"})
COPIER_CONFIG = {
    "_subdirectory": TREE,
    "_templates_suffix": SUFFIX,
    "_exclude": [],
    "_envops": {"undefined": "jinja2.StrictUndefined", "keep_trailing_newline": True, "trim_blocks": True},
}


def stage(template: Template, choices: dict[str, str], folder: Path) -> Path:
    """Write the template that copier renders for these answers into a new folder, and return it."""
    check_complete(template)
    tree = folder / TREE
    tree.mkdir(parents=True)
    for layer in chosen_layers(template, choices):
        own = layer.is_relative_to(template.layers[-1])
        lay(layer, tree, () if own else template.left_out)
    (folder / "copier.yml").write_text(yaml.safe_dump(COPIER_CONFIG), encoding="utf-8")
    return folder


def chosen_layers(template: Template, choices: dict[str, str]) -> Iterator[Path]:
    """Yield the folders to lay, lowest first: base, template, then the conditional ones of each that apply."""
    yield from template.layers
    for layer in template.layers:
        conditional = sorted(path for path in (layer / CONDITIONAL).glob("*=*") if path.is_dir())
        yield from (path for path in conditional if is_met(path.name, choices))


def lay(layer: Path, tree: Path, left_out: Iterable[str] = ()) -> None:
    """Copy a layer's files over a tree, but for those left out: the later wins, whether or not it is rendered."""
    for source in layer_files(layer):
        target = tree / source.relative_to(layer)
        path = source.relative_to(layer).as_posix().removesuffix(SUFFIX)
        if any(fnmatchcase(path, pattern) for pattern in left_out):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        twin = target.with_name(target.name.removesuffix(SUFFIX) if target.suffix == SUFFIX else target.name + SUFFIX)
        twin.unlink(missing_ok=True)
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file's content and its executable bit; the other permissions are the person's umask's."""
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)
    if source.stat().st_mode & 0o100:
        mode = target.stat().st_mode
        target.chmod(mode | (mode & 0o444) >> 2)


def layer_files(layer: Path) -> Iterator[Path]:
    """Yield the files of a layer that belong to the project, without conditional layers and caches."""
    for path in sorted(layer.rglob("*")):
        parts = path.relative_to(layer).parts
        own = parts[0] == CONDITIONAL or parts == (MANIFEST,) or IGNORED.intersection(parts)
        if path.is_file() and not own:
            yield path


def check_complete(template: Template) -> None:
    """Raise ArtefactError where a file that `template.yml` describes is in none of the template's folders."""
    present = set(all_paths(template))
    missing = [rule.pattern for rule in template.files if not rule.is_pattern and rule.pattern not in present]
    if missing:
        raise damaged(template.layers[-1], f"no file gives {', '.join(missing)}")


def all_paths(template: Template) -> Iterator[str]:
    """Yield every path that a template can write, with the names in it still to be filled in."""
    for layer in template.layers:
        conditional = [path for path in (layer / CONDITIONAL).glob("*=*") if path.is_dir()]
        for folder in (layer, *conditional):
            for path in layer_files(folder):
                yield path.relative_to(folder).as_posix().removesuffix(SUFFIX)

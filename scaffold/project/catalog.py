"""The templates there are: every folder with a `template.yml`; what it says is read and checked here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from scaffold.errors import ArtefactError, UsageError, Where, nearest, shown
from scaffold.project.questions import KINDS, PLACEHOLDER, Question

ROOT_VARIABLE = "SCAFFOLD_TEMPLATES"
INSTALLED = Path(__file__).resolve().parents[1] / "_templates"
MANIFEST = "template.yml"
BASE = "_base"
FileClass = Literal["managed", "seed"]
FIELDS = {"summary": str, "version": str, "edit": str, "questions": dict, "data": dict, "files": dict}
QUESTION_FIELDS = {"type": str, "default": (str, bool), "help": str, "choices": list, "free_text": bool}
# What a default may refer to; only `package` may be asked too, so that it can differ from the project's name.
NAMES = frozenset({"project", "package", "class_name", "template"})
TAKEN_NAMES = (NAMES | {"bare"}) - {"package"}
IMPORT_OR_CLASS = re.compile(r"^(?:from [\w.]+ import (?:\([^)]*\)|[^(\n]*)|class \w+)", re.MULTILINE)
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class FileRule:
    """What a path, or a pattern of paths, of the project is for, and whose it is after the first day."""

    pattern: str
    purpose: str
    file_class: FileClass

    @property
    def is_pattern(self) -> bool:
        """Say whether the path stands for several files."""
        return any(character in self.pattern for character in "*?[")


@dataclass(frozen=True, slots=True)
class Template:
    """One template: its layers, lowest first, and what their merged `template.yml` says.

    left_out: paths, or patterns of paths, of files that the base has and this template does without.
    """

    name: str
    layers: tuple[Path, ...]
    summary: str
    version: str
    edit: str
    questions: Mapping[str, Question]
    data: Mapping[str, Any]
    files: tuple[FileRule, ...]
    left_out: tuple[str, ...] = ()


def templates_root() -> Path:
    """Return the folder of templates: chosen by the environment, in the installed package, or in the checkout."""
    package = INSTALLED.parent
    chosen = os.environ.get(ROOT_VARIABLE)
    candidates = [Path(chosen)] if chosen else [INSTALLED, package.parent / "templates"]
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise damaged(candidates[0], "the folder of templates is missing")


def template_names(root: Path | None = None) -> list[str]:
    """Return the names of all templates, sorted."""
    found = (root or templates_root()).glob(f"*/{MANIFEST}")
    return sorted(path.parent.name for path in found if not path.parent.name.startswith("_"))


def find(name: str, root: Path | None = None) -> Template:
    """Return a template by its name, or raise UsageError with the nearest name."""
    root = root or templates_root()
    known = template_names(root)
    if name in known:
        return load(root, name)
    near = nearest(name, known)
    raise UsageError(
        f"no template is called {shown(name)}",
        because=f"there are {', '.join(known)}" if known else f"there are none in {root}",
        fix=f"did you mean {near!r}?" if near else "`scaffold list` shows all",
        code="usage.template",
    )


def load(root: Path, name: str) -> Template:
    """Read and check one template; ArtefactError says what is wrong with it."""
    if not (root / BASE).is_dir():
        raise damaged(root / BASE, "the folder that every template builds on is missing")
    layers = (root / BASE, root / name)
    manifests = [read_manifest(manifest) for layer in layers if (manifest := layer / MANIFEST).exists()]
    merged: dict[str, Any] = {}
    for content in manifests:
        merged = overlaid(merged, content)
    left_out = [path for path, rule in manifests[-1].get("files", {}).items() if rule is None]
    return replace(parse(name, layers, merged), left_out=tuple(left_out))


def read_manifest(path: Path) -> dict[str, Any]:
    """Return a `template.yml` as plain data with nothing but known fields of the right type."""
    try:
        content = yaml.load(path.read_bytes(), Loader=SAFE_LOADER) or {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise damaged(path, str(error)) from error
    check_fields(path, "", content, FIELDS)
    return dict(content)


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return two manifests merged by key: mappings in depth, the later value wins, and null removes a key."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = overlaid(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return {key: value for key, value in merged.items() if value is not None}


def parse(name: str, layers: tuple[Path, ...], merged: Mapping[str, Any]) -> Template:
    """Return a merged manifest as a Template."""
    manifest = layers[-1] / MANIFEST
    for field in ("summary", "version"):
        if field not in merged:
            raise damaged(manifest, f"{field} is missing")
    questions = {key: parse_question(manifest, key, value) for key, value in merged.get("questions", {}).items()}
    files = tuple(parse_file(manifest, str(path), value) for path, value in merged.get("files", {}).items())
    return Template(
        name=name,
        layers=layers,
        summary=merged["summary"].strip(),
        version=merged["version"],
        edit=merged.get("edit", ""),
        questions=questions,
        data=merged.get("data", {}),
        files=files,
    )


def parse_question(manifest: Path, name: str, value: object) -> Question:
    """Return one entry of `questions`, checked."""
    key = f"questions.{name}"
    if not re.fullmatch("[a-z][a-z0-9_]*", str(name)) or name in TAKEN_NAMES:
        raise damaged(manifest, f"{key} is not a name that a question may have")
    fields = check_fields(manifest, key, value, QUESTION_FIELDS)
    kind, default = fields.get("type", "str"), fields.get("default", "")
    choices = tuple(str(choice) for choice in fields.get("choices", ()))
    if kind not in KINDS:
        raise damaged(manifest, f"{key}.type is {shown(kind)}, expected one of {', '.join(KINDS)}")
    if isinstance(default, bool) != (kind == "bool") or (kind == "choice" and default not in choices):
        raise damaged(manifest, f"{key}.default is {shown(default)}, which is no {kind} of this question")
    if unknown := set(PLACEHOLDER.findall(str(default))) - NAMES:
        raise damaged(manifest, f"{key}.default refers to {', '.join(sorted(unknown))}, which is not known yet")
    return Question(name, kind, default, fields.get("help", ""), choices, fields.get("free_text", False))


def parse_file(manifest: Path, path: str, value: object) -> FileRule:
    """Return one entry of `files`, checked."""
    fields = check_fields(manifest, f"files.{path}", value, {"purpose": str, "class": str})
    file_class = fields.get("class", "managed")
    if file_class not in get_args(FileClass):
        raise damaged(manifest, f"files.{path}.class is {shown(file_class)}, expected managed or seed")
    return FileRule(path, fields.get("purpose", ""), file_class)


def used_classes(template: Template) -> set[str]:
    """Return the names that a template's Python code imports or gives to classes of its own."""
    sources = (path.read_text("utf-8") for layer in template.layers for path in layer.rglob("*.py.jinja"))
    statements = (statement for source in sources for statement in IMPORT_OR_CLASS.findall(source))
    return {word for statement in statements for word in re.findall(r"\b[A-Z]\w*", statement)}


def rule_for(rules: tuple[FileRule, ...], path: str) -> FileRule:
    """Return what is said about a path: by its own name, else by the longest pattern that fits, else nothing."""
    fitting = [rule for rule in rules if rule.pattern == path or fnmatchcase(path, rule.pattern)]
    return max(
        fitting, key=lambda rule: (rule.pattern == path, len(rule.pattern)), default=FileRule(path, "", "managed")
    )


def check_fields(manifest: Path, key: str, value: object, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a value that is a mapping of known fields of the right types; else raise ArtefactError."""
    prefix = f"{key}." if key else ""
    if not isinstance(value, dict):
        raise damaged(manifest, f"{key or 'the file'} is {shown(value)}, expected keys and values")
    for name, content in value.items():
        if name not in fields:
            raise damaged(manifest, f"{prefix}{name} is unknown, expected one of {', '.join(fields)}")
        if content is not None and not isinstance(content, fields[name]):
            raise damaged(manifest, f"{prefix}{name} is {shown(content)}, which has the wrong type")
    return value


def damaged(path: Path, because: str) -> ArtefactError:
    """Return the error of a template that cannot be used: a damaged installation, or one that the person can mend."""
    chosen = os.environ.get(ROOT_VARIABLE)
    installed = not chosen and (path == INSTALLED or INSTALLED in path.parents)
    what, fix = "a template cannot be read", "mend it"
    if installed:
        what, fix = f"the installation is damaged: {what}", "pip install --force-reinstall scaffold-ml"
    elif chosen:
        fix = f"mend it, or name another folder in {ROOT_VARIABLE}, which is {shown(chosen)}"
    return ArtefactError(
        what,
        because=because,
        fix=fix,
        where=Where(file=str(path)),
        code="artefact.template",
    )

"""Numbers in YAML files that PyYAML reads as texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

from scaffold.check.code import Module, text_of, typed
from scaffold.check.finding import Finding, Severity
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_project

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
READERS = ("load", "safe_load", "full_load", "load_all", "safe_load_all", "unsafe_load")
SKIPPED = ("conf", "runs", "site", "build", "dist", "node_modules")  # Hydra reads conf/ in its own way


def find(source: Source) -> Iterator[Finding]:
    """Yield every plain scalar that looks like a number and is read as a text."""
    readers = [module for module in source.modules if _reads(module)]
    named = {name for module in readers for name in _file_names(module)}
    for path in _files(source.root, named):
        for line, text in texts_like_numbers(path):
            fix = f"Write {_as_number(text)}, or quote it if it is meant to be a text."
            message = f"PyYAML reads {text} as a text"
            severity: Severity = "error" if path.name in named else "warning"
            place = typed(path)
            yield RULE.finding(message, measured=text, fix=fix, severity=severity, file=place, line=line)


def texts_like_numbers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of each such scalar of a file."""
    try:
        nodes = list(yaml.compose_all(path.read_bytes(), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, OSError, ValueError):  # whoever reads the file finds out
        return
    for node in nodes:
        for scalar in _scalars(node):
            is_plain = scalar.style is None and scalar.tag.endswith(":str")
            if is_plain and NUMBER.fullmatch(scalar.value):
                yield scalar.start_mark.line + 1, scalar.value


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value)


def _files(root: Path, named: set[str]) -> list[Path]:
    """Return the YAML files that the code reads with PyYAML, and those outside conf/, which other programs read so."""
    found = [path for pattern in ("*.yaml", "*.yml") for path in root.rglob(pattern)]
    return sorted(path for path in found if path.name in named or _is_own(path.relative_to(root)))


def _reads(module: Module) -> bool:
    return any(module.full_name(call.func) in {f"yaml.{name}" for name in READERS} for call in module.calls())


def _file_names(module: Module) -> Iterator[str]:
    for node in module.nodes:
        if (text := text_of(node)) and text.endswith((".yaml", ".yml")):
            yield text.rpartition("/")[2]


def _is_own(path: Path) -> bool:
    return path.parts[0] not in SKIPPED and not any(part.startswith(".") for part in path.parts)


def _as_number(text: str) -> str:
    mantissa, letter, exponent = text.lower().partition("e")
    dotted = mantissa if "." in mantissa else f"{mantissa}.0"
    return f"{dotted}{letter}{exponent if exponent[:1] in '+-' else f'+{exponent}'}"


RULE = Rule(
    id="yaml-string",
    severity="error",
    title="A number in a YAML file is read as a text.",
    why="PyYAML takes 1e-5 for a text: the optimizer gets '1e-5', or a comparison with a number fails, far from here.",
    fix="Write a dot and a sign: 1.0e-5.",
    example="""\
lr: 1e-5
weight_decay: 0.01
""",
    instead="""\
lr: 1.0e-5
weight_decay: 0.01
""",
    find=find,
    applies=needs_project,
    task=None,
    file="sweep.yaml",
)

"""Attributes of a module that are read and never set, where a near name is."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class
from scaffold.check.finding import Finding
from scaffold.check.inherited import INHERITED, PLAIN_BASES
from scaffold.check.rule import Rule
from scaffold.check.source import Source
from scaffold.errors import nearest

NEAR = 0.75  # nrom for norm; nothing sets the name, so that it fails whatever was meant
SETTING = ("setattr", "__setattr__", "add_module", "register_module", "register_parameter", "register_buffer")


def find(source: Source) -> Iterator[Finding]:
    """Yield each attribute of self that no code sets, and that is spelt nearly like one that the class sets."""
    nodes = [node for module in source.modules for node in module.nodes]
    set_somewhere = {name for node in nodes if (name := _set_by(node))}
    for module in source.modules:
        for cls in module.classes():
            is_plain = PLAIN_BASES.issuperset(source.code.foreign_bases(cls))
            if is_plain and source.code.is_module(cls) and not _sets_by_name(source, cls):
                yield from _in_class(source, cls, set_somewhere)


def _in_class(source: Source, cls: Class, set_somewhere: set[str]) -> Iterator[Finding]:
    line = source.code.line_of_classes(cls)
    own = {name for one in line for node in ast.walk(one.node) if (name := _set_by(node))}
    told: set[str] = set()
    for node in ast.walk(cls.node):
        name = node.attr if isinstance(node, ast.Attribute) and _is_read(node) else ""
        if name and name not in own | set_somewhere | INHERITED | told and name[:2] != "__":
            told.add(name)
            if near := nearest(name, sorted(own), NEAR):
                what, fix = f"self.{name} is never set", f"Did you mean self.{near}?"
                yield RULE.finding(what, measured=name, fix=fix, **cls.module.at(node))


def _is_read(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self" and isinstance(node.ctx, ast.Load)


def _set_by(node: ast.AST) -> str:
    """Return the attribute that a node sets: by assignment, as a method, or in the body of a class."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node.name
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""


def _sets_by_name(source: Source, cls: Class) -> bool:
    """Return whether a class may have attributes that no code spells out."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in SETTING)
        or (isinstance(node, ast.Name) and node.id in SETTING)
        or (isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__getattribute__"))
        for one in source.code.line_of_classes(cls)
        if one.module in source.modules
        for node in ast.walk(one.node)
    )


RULE = Rule(
    id="unknown-attribute",
    severity="error",
    title="An attribute of the model is read that nothing sets.",
    why="Python notices only when the line is run: in the first batch, or after hours, at the first prediction.",
    fix="Correct the name, or set the attribute in __init__.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embeding(input_ids) + self.embedding(input_ids))
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(2 * self.embedding(input_ids))
""",
    find=find,
)

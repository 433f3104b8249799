"""Layers that are made and never used."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, text_of
from scaffold.check.finding import Finding
from scaffold.check.inherited import PLAIN_BASES
from scaffold.check.kinds import made_in
from scaffold.check.rule import Rule
from scaffold.check.source import Source
from scaffold.check.stubs import promised

ALL_AT_ONCE = ("children", "named_children", "modules", "named_modules", "_modules", "__dict__", "__getattr__")


def find(source: Source) -> Iterator[Finding]:
    """Yield every layer that `__init__` makes and that no code mentions again."""
    for module in source.modules:
        for cls in module.classes():
            is_plain = PLAIN_BASES.issuperset(source.code.foreign_bases(cls))
            is_written = not any(map(promised, cls.methods.values()))  # a stub may still use it
            if is_written and is_plain and source.code.is_module(cls) and source.code.method(cls, "forward"):
                yield from _in_class(source, cls)


def _in_class(source: Source, cls: Class) -> Iterator[Finding]:
    makers = {name: method for name, method in cls.methods.items() if name == "__init__"}
    layers = {name: node for name, kind, node in made_in(source.code, cls, makers) if kind in ("layer", "layers")}
    used = _mentioned(source, cls) if layers else set()
    for name, node in layers.items():
        if name not in used and not used & {*ALL_AT_ONCE}:
            yield RULE.finding(f"self.{name} is made and never used", measured=name, **cls.module.at(node))


def _mentioned(source: Source, cls: Class) -> set[str]:
    """Return every attribute that code reads, and every text, by which getattr may read one."""
    modules = {*source.modules, *(one.module for one in source.code.line_of_classes(cls))}
    nodes = [node for module in modules for node in module.nodes]
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}
    return read | {text for node in nodes if (text := text_of(node))}


RULE = Rule(
    id="unused-layer",
    severity="warning",
    title="A layer is made and never used.",
    why="Its parameters get no gradient, several GPUs wait for them for ever, and a typo may be behind it.",
    fix="Use it in forward, or delete it.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embedding(input_ids))
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.hidden(self.embedding(input_ids)).relu())
""",
    find=find,
)

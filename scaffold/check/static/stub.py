"""Methods that are still to be written."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, Function
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.source import Source
from scaffold.check.stubs import promised

ABSTRACT = ("abstractmethod", "overload")


def find(source: Source) -> Iterator[Finding]:
    """Yield every function that only raises NotImplementedError, or that has no body though it returns something."""
    classes = [cls for module in source.modules for cls in module.classes()]
    for module in source.modules:
        for name, node in module.definitions.items():
            if isinstance(node, Function) and (todo := promised(node)):
                yield RULE.finding(f"{name} is not written yet: {todo}", **module.at(node))
    for cls in classes:
        for name, method in cls.methods.items():
            todo = None if _is_abstract(cls, method) else promised(method)
            if todo and not _overridden(source, cls, name, classes):
                yield RULE.finding(f"{name} is not written yet: {todo}", **cls.module.at(method))


def _is_abstract(cls: Class, method: Function) -> bool:
    names = [ast.unparse(decorator).rpartition(".")[2] for decorator in method.decorator_list]
    return any(name in ABSTRACT for name in names) or any(base.endswith("Protocol") for base in cls.bases)


def _overridden(source: Source, cls: Class, name: str, classes: list[Class]) -> bool:
    """Return whether a class that derives from this one has the method: then this is an interface, not a stub."""
    return any(one != cls and name in one.methods and cls in source.code.line_of_classes(one) for one in classes)


RULE = Rule(
    id="stub",
    severity="error",
    title="A function is still a stub.",
    why="It raises NotImplementedError, or returns None where a value is needed, as soon as it is called.",
    fix="Write the method; delete it if the base class has one that will do.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        raise NotImplementedError("must return logits (rows, labels)")
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.head(self.embedding(input_ids))
""",
    find=find,
)

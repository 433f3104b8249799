"""Files that are not valid Python."""

from __future__ import annotations

from collections.abc import Iterator

from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.source import Source


def find(source: Source) -> Iterator[Finding]:
    """Yield every file that does not parse, with the parser's own words."""
    for module in source.code.modules:
        if module.error:
            yield RULE.finding(f"not valid Python: {module.error.msg}", file=module.place, line=module.error.lineno)


RULE = Rule(
    id="syntax-error",
    severity="error",
    title="A file is not valid Python.",
    why="It cannot be imported, so nothing in it can be run, and nothing else in it could be checked.",
    fix="Correct the line; the cause may also stand just above it, such as a bracket that is not closed.",
    example="""\
from torch import nn


class Model(nn.Module):
    def __init__(self
        super().__init__()
""",
    instead="""\
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
""",
    find=find,
)

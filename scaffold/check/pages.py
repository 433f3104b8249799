"""What the rules say of themselves: a table, one rule's explanation, and the page of the documentation.

`python -m scaffold.check.pages docs/rules.md` writes the page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

from scaffold.check.rule import HALVES, Half, Rule, load_rule, load_rules, rule_ids

INTRODUCTION = """\
# Rules of `scaffold check`

How to run the check, and how to add a rule: [Check a model](check.md). Every example below is run by the tests: the
first file is found by its rule, the second is not. The page is made from the rules by `make rules`.
"""
HEADINGS = {
    "static": "## By reading code and config\n\nThese rules run nothing and need neither torch nor lightning.",
    "dynamic": "## By running the model\n\nThese rules run the model on a few rows on the CPU.",
}


def rule_table() -> list[dict[str, str]]:
    """Return id, half, severity and title of every rule."""
    return [_row(half, rule) for half in HALVES for rule in load_rules(half)]


def find_rule(rule_id: str) -> tuple[Half, Rule]:
    """Return a rule and its half by the rule's id."""
    half = next(half for half in HALVES if rule_id in rule_ids(half))
    return half, load_rule(half, rule_id)


def explained(half: Half, rule: Rule) -> str:
    """Return all that a rule says, for a terminal."""
    parts = [
        f"{rule.id} ({rule.severity}, {half})",
        rule.title,
        f"why: {rule.why}\nfix: {rule.fix}",
        f"{found_in(rule)}:\n\n{indent(rule.example, '    ')}".rstrip(),
        f"Use instead:\n\n{indent(rule.instead, '    ')}".rstrip(),
    ]
    return "\n\n".join(parts)


def as_data(half: Half, rule: Rule) -> dict[str, Any]:
    """Return all that a rule says as plain data."""
    further = {"why": rule.why, "fix": rule.fix, "example": rule.example, "instead": rule.instead}
    return _row(half, rule) | further | {"task": rule.task, "file": rule.file}


def found_in(rule: Rule) -> str:
    """Return the words that introduce a rule's example."""
    return f"Found in `{rule.file}`" if rule.task is None else f"Found in a model (`--task {rule.task}`)"


def page() -> str:
    """Return the page of the documentation that lists every rule."""
    return "\n".join([INTRODUCTION, *(part for half in HALVES for part in _sections(half))])


def _sections(half: Half) -> Iterator[str]:
    yield f"{HEADINGS[half]}\n"
    for rule in load_rules(half):
        yield f"### {rule.id}\n\n*{rule.severity}* · {rule.title}\n\n{rule.why}\n\n**Fix.** {rule.fix}\n"
        yield f"{found_in(rule)}:\n\n{_fence(rule, rule.example)}"
        yield f"Use instead:\n\n{_fence(rule, rule.instead)}"


def _fence(rule: Rule, text: str) -> str:
    """Return a file of an example; one that is not even valid is plain text."""
    is_broken = rule.id in ("config", "syntax-error") and text == rule.example
    language = "yaml" if rule.file.endswith("yaml") else "python"
    return f"<!-- read only: tests of the rules run it -->\n```{'text' if is_broken else language}\n{text}```\n"


def _row(half: Half, rule: Rule) -> dict[str, str]:
    return {"id": rule.id, "half": half, "severity": rule.severity, "title": rule.title}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

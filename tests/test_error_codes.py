"""Codes of errors are promises: they have one form, family and kind, and each is of the family of its class."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaffold.errors

FAMILIES = {
    name: kind.family
    for name, kind in vars(scaffold.errors).items()
    if isinstance(kind, type) and kind.__base__ is scaffold.errors.ScaffoldError
}


def errors() -> Iterator[object]:
    root = Path(scaffold.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in FAMILIES:
                for code in (word.value for word in node.keywords if word.arg == "code"):
                    if isinstance(code, ast.Constant):
                        yield pytest.param(node.func.id, code.value, id=f"{path.relative_to(root)}:{node.lineno}")


@pytest.mark.parametrize("kind, code", errors())
def test_a_code_names_its_family_first(kind, code):
    family, _, word = code.partition(".")
    assert family == FAMILIES[kind]
    assert word

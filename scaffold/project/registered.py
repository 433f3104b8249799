"""A file of a person's own with one of its classes registered; the import that this needs stands where it is sorted."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from itertools import takewhile

RUNTIME = "scaffold.runtime"
LINE_LENGTH = 120  # of the project's own ruff


def registered_text(text: str, node: ast.ClassDef, name: str) -> str:
    """Return a file with one of its classes registered under a name; nothing else is changed."""
    lines = text.splitlines(keepends=True)
    first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    lines.insert(first - 1, f'@register("{name}")\n')
    start, end, new = _import(ast.parse(text).body, lines)
    lines[start:end] = new
    return "".join(lines)


def _import(body: Sequence[ast.stmt], lines: Sequence[str]) -> tuple[int, int, list[str]]:
    """Return which lines give way to which, so that `register` is imported."""
    line = f"from {RUNTIME} import register\n"
    head = list(takewhile(lambda node: _is_docstring(node) or isinstance(node, ast.Import | ast.ImportFrom), body))
    third = [node for node in head if _section(node) == 2]
    for node in third:
        if _order(node) == (True, RUNTIME) and "#" not in "".join(lines[node.lineno - 1 : node.end_lineno]):
            return node.lineno - 1, node.end_lineno or node.lineno, _extended(node)
    earlier = [node for node in third if _order(node) < (True, RUNTIME)]
    above = earlier or [node for node in head if _section(node) < 2]
    if earlier or (above and not third):
        at = above[-1].end_lineno or above[-1].lineno
        return at, at, [line] if third else ["\n", line]
    at = (third or head)[0].lineno - 1 if head else 0
    return at, at, [line] if third else [line, "\n"] if head else [line, "\n", "\n"]


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _section(node: ast.stmt) -> int:
    """Return where an import belongs: 0 before all others, 1 the standard library, 2 packages, 3 the project's own."""
    if isinstance(node, ast.ImportFrom) and node.level:
        return 3
    root = _order(node)[1].partition(".")[0]
    if root in ("", "__future__"):
        return 0
    return 1 if root in sys.stdlib_module_names else 2


def _order(node: ast.stmt) -> tuple[bool, str]:
    """Return what imports of a section are sorted by: those of whole modules first, then by the module."""
    if isinstance(node, ast.Import):
        return False, node.names[0].name.lower()
    return True, (node.module or "").lower() if isinstance(node, ast.ImportFrom) else ""


def _extended(node: ast.stmt) -> list[str]:
    """Return an import of the runtime's names with `register` among them."""
    aliases = node.names if isinstance(node, ast.ImportFrom) else []
    names = sorted({*(ast.unparse(alias) for alias in aliases), "register"}, key=_by_type)
    line = f"from {RUNTIME} import {', '.join(names)}\n"
    if node.end_lineno == node.lineno and len(line) <= LINE_LENGTH + 1:
        return [line]
    return [f"from {RUNTIME} import (\n", *(f"    {name},\n" for name in names), ")\n"]


def _by_type(name: str) -> tuple[int, str]:
    """Return what imported names are sorted by: constants, classes, then the rest."""
    word = name.partition(" ")[0]
    return (0 if word.isupper() and len(word) > 1 else 1 if word[:1].isupper() else 2), name

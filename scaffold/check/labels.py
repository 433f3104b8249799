"""The kind of label that a project's config chooses among those of the runtime, such as one name per row."""

from __future__ import annotations

import ast

from scaffold.check.code import Class, Function, own_nodes, text_of
from scaffold.check.source import Source

CHOOSES = "target"  # the task's method whose result has the loss, the metrics and the monitor of the kind


def label_kind(source: Source) -> Class | None:
    """Return the class that `TABLE[context.options.KEY]` in the task's `target` leads to, if it can be read."""
    found = source.code.method(source.model, CHOOSES) if source.model else None
    chosen = _returned(found[1]) if found else None
    if found is None or not isinstance(chosen, ast.Subscript) or not isinstance(chosen.slice, ast.Attribute):
        return None
    options = source.settings.tree.get("task")
    choice = options.get(chosen.slice.attr) if isinstance(options, dict) else None
    table = source.code.find(found[0].module.full_name(chosen.value))
    entries = getattr(table[1], "value", None) if table else None
    if table is None or not isinstance(entries, ast.Dict):
        return None
    made = {text_of(key): value for key, value in zip(entries.keys, entries.values, strict=True)}.get(choice)
    return source.code.find_class(table[0].full_name(made.func)) if isinstance(made, ast.Call) else None


def asks_kind(node: ast.expr | None, name: str) -> bool:
    """Return whether an expression is `cls.target(context).NAME`, or a call of it."""
    node = node.func if isinstance(node, ast.Call) else node
    owner = node.value if isinstance(node, ast.Attribute) and node.attr == name else None
    return isinstance(owner, ast.Call) and isinstance(owner.func, ast.Attribute) and owner.func.attr == CHOOSES


def _returned(function: Function) -> ast.expr | None:
    values = [node.value for node in own_nodes(function) if isinstance(node, ast.Return)]
    return values[0] if len(values) == 1 else None

"""The names of the facts that a task's `fit` finds out, as far as they stand in its code."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, Code, Function, Module, own_nodes, text_of

DEPTH = 4  # functions that `fit` calls, and those that they call


def facts_of(code: Code, model: Class) -> set[str] | None:
    """Return the names of the facts that `fit` sets; None where the code does not show them."""
    found = code.method(model, "fit")
    names = _in_function(code, found[0].module, found[1], found[0], DEPTH) if found else [None]
    known = [name for name in names if name is not None]
    return set(known) if known and len(known) == len(names) else None


def _in_function(code: Code, module: Module, function: Function, owner: Class | None, depth: int) -> list[str | None]:
    """Return what a function and those that it calls hand over as `facts`; None stands for what cannot be read."""
    names: list[str | None] = []
    for call in (node for node in own_nodes(function) if isinstance(node, ast.Call)):
        values = [word.value for word in call.keywords if word.arg == "facts"]
        values += call.args[3:4] if module.full_name(call.func).endswith(".Context") else []
        names += [name for value in values for name in _keys(value, function)]
        for home, called, cls in _called(code, module, call, owner) if depth and not values else ():
            names += _in_function(code, home, called, cls, depth - 1)
    return names


def _called(
    code: Code, module: Module, call: ast.Call, owner: Class | None
) -> Iterator[tuple[Module, Function, Class | None]]:
    """Yield the function of the project or the runtime that a call leads to."""
    if isinstance(call.func, ast.Attribute) and owner and ast.unparse(call.func.value) in ("super()", "cls", "self"):
        line = code.line_of_classes(owner)
        for cls in line[1:] if ast.unparse(call.func.value) == "super()" else line:
            if call.func.attr in cls.methods:
                yield cls.module, cls.methods[call.func.attr], cls
                return
    elif (name := module.full_name(call.func)) and (found := code.find(name)) and isinstance(found[1], Function):
        yield found[0], found[1], None


def _keys(node: ast.expr, function: Function) -> list[str | None]:
    """Return the keys of a dict that is written out, here or where its name is assigned."""
    if isinstance(node, ast.Dict):
        parts = zip(node.keys, node.values, strict=True)
        return [name for key, value in parts for name in ([text_of(key)] if key else _of_earlier(value, function))]
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "dict" and not node.args:
        return [word.arg for word in node.keywords]
    if isinstance(node, ast.BinOp):
        return [*_keys(node.left, function), *_keys(node.right, function)]
    return _of_earlier(node, function)


def _of_earlier(node: ast.expr, function: Function) -> list[str | None]:
    """Return the keys of a name that was assigned before, or none of `context.facts`, which somebody else has set."""
    if isinstance(node, ast.Attribute) and node.attr == "facts":
        return []
    if not isinstance(node, ast.Name):
        return [None]
    assigned = [one for one in own_nodes(function) if isinstance(one, ast.Assign)]
    whole = [one.value for one in assigned if getattr(one.targets[0], "id", "") == node.id]
    items = [one.targets[0] for one in assigned if isinstance(one.targets[0], ast.Subscript)]
    added = [text_of(item.slice) for item in items if getattr(item.value, "id", "") == node.id]
    return [*(_keys(whole[0], function) if len(whole) == 1 else [None]), *added]

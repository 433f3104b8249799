"""Functions that are still to be written, and what they must do, in their own words."""

from __future__ import annotations

import ast

from scaffold.check.code import Function, text_of

NEEDED = ("forward", "training_step", "configure_optimizers")  # return something, whether they say so or not
RESULTS = (ast.Return, ast.Yield, ast.YieldFrom)


def promised(method: Function) -> str | None:
    """Return what a stub must do, in its own words; None for a function that has been written."""
    for number, line in enumerate(method.body):
        if isinstance(line, ast.Raise) and _is_unwritten(line):
            # after a return, it is the answer to arguments that are not served
            is_whole = not any(isinstance(node, RESULTS) for one in method.body[:number] for node in ast.walk(one))
            said = _said(line) or _wanted(method)
            return said if is_whole and "support" not in said else None  # to refuse is not to be unfinished
    body = method.body[1:] if ast.get_docstring(method) is not None else method.body
    is_empty = all(isinstance(line, ast.Pass) or _is_ellipsis(line) for line in body)
    return _wanted(method) if is_empty and _returns_something(method) else None


def _is_unwritten(line: ast.Raise) -> bool:
    raised = line.exc.func if isinstance(line.exc, ast.Call) else line.exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def _said(line: ast.Raise) -> str | None:
    return text_of(line.exc.args[0]) if isinstance(line.exc, ast.Call) and line.exc.args else None


def _wanted(method: Function) -> str:
    if method.returns is not None and not _is_none(method.returns):
        return f"it must return {ast.unparse(method.returns)}"
    summary = (ast.get_docstring(method) or "").partition("\n")[0]
    return summary or "it raises NotImplementedError or has no body"


def _returns_something(method: Function) -> bool:
    if method.name in NEEDED:
        return True
    return method.returns is not None and not _is_none(method.returns)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_ellipsis(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and line.value.value is ...

"""What a method visibly returns, told from its source: only what is sure is said."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

TENSOR, TUPLE, DICT = "a bare tensor", "a tuple", "a dict"
PAIRS = frozenset({"LSTM", "GRU", "RNN", "MultiheadAttention"})
UNKNOWN = frozenset({"Identity", "Module", "ModuleList", "ModuleDict", "DataParallel"})


@dataclass(frozen=True, slots=True)
class Store:
    """A name that a method gives a value: where, which (None: cannot be told), and whether on every way through."""

    line: int
    name: str
    value: ast.expr | None
    is_certain: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """What is known inside of a method: its local names, and what the layers of its class return."""

    stores: tuple[Store, ...]
    layers: Mapping[str, str | None]

    def kind(self, node: ast.expr | None, line: int) -> str | None:
        """Return the kind of value of an expression at a line; None where it cannot be told."""
        match node:
            case ast.Dict():
                return DICT
            case ast.Tuple():
                return TUPLE
            case ast.BinOp(op=ast.Sub() | ast.Mult() | ast.Div() | ast.MatMult()):
                return TENSOR
            case ast.IfExp():
                return _agreed([self.kind(node.body, line), self.kind(node.orelse, line)])
            case ast.Name():
                return _agreed([self.kind(store.value, store.line) for store in self._given(node.id, line)])
            case ast.Call(func=ast.Attribute() as called):
                return self._result(called, line)
        return None

    def _result(self, called: ast.Attribute, line: int) -> str | None:
        """Return the kind of what a layer, a function of torch or a method of a tensor returns."""
        owner = called.value.id if isinstance(called.value, ast.Name) else ""
        if owner == "self":
            return self.layers.get(called.attr)
        if owner in ("torch", "F"):
            return TENSOR
        return TENSOR if self.kind(called.value, line) == TENSOR else None

    def _given(self, name: str, line: int) -> Iterator[Store]:
        """Yield what may have given a name its value before a line, the latest first."""
        for store in reversed(self.stores):
            if store.name == name and store.line < line:
                yield store
                if store.is_certain:
                    return


def returned(method: ast.FunctionDef, init: ast.FunctionDef | None) -> str:
    """Return what a method returns wherever it does, such as "a bare tensor"; empty where some of it cannot be told.

    init: the constructor, which says what the layers are.
    """
    declared = ast.unparse(method.returns) if method.returns else ""
    if declared in ("Tensor", "torch.Tensor"):
        return TENSOR
    scope = Scope(tuple(_stores(method)), _layers(init) if init else {})
    values = [(node.value, node.lineno) for node in _own(method) if isinstance(node, ast.Return)]
    kinds = {scope.kind(value, line) for value, line in values}
    return "" if None in kinds else " or ".join(sorted(kind for kind in kinds if kind))


def _agreed(kinds: list[str | None]) -> str | None:
    return kinds[0] if len(set(kinds)) == 1 else None


def _own(method: ast.FunctionDef) -> Iterator[ast.AST]:
    """Yield the nodes of a method, but for those of functions inside of it."""
    waiting: list[ast.AST] = list(method.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)


def _stores(method: ast.FunctionDef) -> list[Store]:
    """Return each name that a method gives a value, in the order of lines."""
    certain = {id(node) for node in method.body}
    whole = {
        id(target): node
        for node in _own(method)
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    found = []
    for node in _own(method):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            statement = whole.get(id(node))
            line = statement.lineno if statement else node.lineno
            found.append(Store(line, node.id, statement.value if statement else None, id(statement) in certain))
    return sorted(found, key=lambda store: store.line)


def _layers(init: ast.FunctionDef) -> dict[str, str | None]:
    """Return what the layers of torch that a constructor makes return, by the names of their attributes."""
    found: dict[str, str | None] = {}
    for node in _own(init):
        for target in node.targets if isinstance(node, ast.Assign) else []:
            if isinstance(target, ast.Attribute):
                kind = _of_layer(node.value)  # type: ignore[attr-defined]
                found[target.attr] = _agreed([kind, found.get(target.attr, kind)])
    return found


def _of_layer(made: ast.expr) -> str | None:
    """Return what a layer returns that is made by this expression."""
    owner, _, name = ast.unparse(made.func).rpartition(".") if isinstance(made, ast.Call) else ("", "", "")
    if not isinstance(made, ast.Call) or owner not in ("nn", "torch.nn") or name in UNKNOWN:
        return None
    if name == "Sequential":
        return _of_layer(made.args[-1]) if made.args else None
    return TUPLE if name in PAIRS else TENSOR

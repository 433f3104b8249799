"""Names that nothing defines."""

from __future__ import annotations

import ast
import builtins
import symtable
from collections.abc import Iterator

from scaffold.check.code import Module
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.rule import Rule
from scaffold.check.source import Source

KNOWN = {*dir(builtins), "__file__", "__path__", "__annotations__", "__builtins__", "__conditional_annotations__"}
DYNAMIC = ("exec", "globals")


def find(source: Source) -> Iterator[Finding | NotChecked]:
    """Yield every name that no scope around it, no import and no builtin defines, once per function."""
    for module in source.modules:
        if hidden := _hidden_definitions(module):
            yield RULE.not_checked(f"{module.place} uses {hidden}, which may define any name")
            continue
        for name, line in undefined(module):
            yield RULE.finding(f"the name {name} is not defined anywhere", measured=name, file=module.place, line=line)


def undefined(module: Module) -> Iterator[tuple[str, int]]:
    """Yield each name that cannot be found when it is read, with the line."""
    table = symtable.symtable(module.text, str(module.path), "exec")
    scopes = list(_scopes(table))
    real = table if "TYPE_CHECKING" not in module.text else symtable.symtable(_as_run(module), "", "exec")
    defined = KNOWN | {symbol.get_name() for symbol in real.get_symbols() if _is_bound(symbol)}
    defined |= {symbol.get_name() for scope in scopes for symbol in scope.get_symbols() if _sets_global(symbol)}
    for scope in scopes:
        for symbol in scope.get_symbols():
            is_unknown = _is_looked_up(symbol, scope) and symbol.get_name() not in defined
            if is_unknown and (line := _line(module.tree, scope, symbol.get_name())):
                yield symbol.get_name(), line


def _as_run(module: Module) -> str:
    """Return the code without what only type checkers read."""
    return ast.unparse(ast.fix_missing_locations(_WithoutChecking().visit(ast.parse(module.text))))


class _WithoutChecking(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.stmt:
        if not ast.unparse(node.test).endswith("TYPE_CHECKING"):
            return node
        return ast.If(ast.Constant(True), node.orelse or [ast.Pass()], [])


def _hidden_definitions(module: Module) -> str | None:
    stars = [name for name in module.imports if name == "*"]
    called = [call.func.id for call in module.calls() if isinstance(call.func, ast.Name) and call.func.id in DYNAMIC]
    return "`from … import *`" if stars else next((f"{name}()" for name in called), None)


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _is_bound(symbol: symtable.Symbol) -> bool:
    return symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()


def _sets_global(symbol: symtable.Symbol) -> bool:
    return symbol.is_declared_global() and _is_bound(symbol)


def _is_looked_up(symbol: symtable.Symbol, scope: symtable.SymbolTable) -> bool:
    """Return whether a name is looked for in the module: it is bound in no function around."""
    is_free = symbol.is_global() or (scope.get_type() == "module" and not _is_bound(symbol))
    return is_free and symbol.is_referenced()


def _line(tree: ast.Module, scope: symtable.SymbolTable, name: str) -> int | None:
    """Return the first line of a scope in which a name is read; None where it is an annotation that is never read."""
    owner: ast.AST = tree
    if scope.get_type() != "module":
        first = scope.get_lineno()
        owner = next((node for node in ast.walk(tree) if _starts(node, first, scope.get_name())), tree)
    tried = {inner for node in ast.walk(owner) if _asks(node) for inner in ast.walk(node)}
    used = (node for node in ast.walk(owner) if isinstance(node, ast.Name) and node.id == name and node not in tried)
    return min((node.lineno for node in used if isinstance(node.ctx, ast.Load | ast.Del)), default=None)


def _asks(node: ast.AST) -> bool:
    """Return whether code finds out by itself whether names are defined, such as IPython's."""
    handlers = node.handlers if isinstance(node, ast.Try) else []
    return any(handler.type is not None and "NameError" in ast.unparse(handler.type) for handler in handlers)


def _starts(node: ast.AST, line: int, name: str) -> bool:
    named = getattr(node, "name", None) or {"Lambda": "lambda"}.get(type(node).__name__)
    decorators = [one.lineno for one in getattr(node, "decorator_list", [])]
    return named == name and line in (getattr(node, "lineno", -1), *decorators)


RULE = Rule(
    id="undefined-name",
    severity="error",
    title="A name is used that nothing defines.",
    why="Python notices only when the line is run: in the first batch, or after hours, at the first prediction.",
    fix="Correct the name, or import or assign it first.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        return self.head(hidden) / temperature
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden, temperature = self.embedding(input_ids), 2.0
        return self.head(hidden) / temperature
""",
    find=find,
)

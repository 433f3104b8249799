"""Python code as the static half reads it: modules, what their names stand for, and classes with their bases."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import scaffold.runtime

RUNTIME = "scaffold.runtime"
HOOKED = ("LightningModule", "LightningDataModule", "Callback")
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Place(TypedDict, total=False):
    """File and line, by the names that a finding takes them by."""

    file: str
    line: int


@dataclass(frozen=True, eq=False)
class Module:
    """A file with its tree; of a file that does not parse, `error` says why and the tree is empty."""

    name: str
    path: Path
    tree: ast.Module
    text: str = ""
    error: SyntaxError | None = None

    def at(self, node: ast.AST) -> Place:
        """Return where a node stands."""
        return {"file": self.place, "line": getattr(node, "lineno", 1)}

    @cached_property
    def place(self) -> str:
        """Return the path as the person would type it here."""
        return typed(self.path)

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """Return every node of the tree."""
        return list(ast.walk(self.tree))

    @cached_property
    def imports(self) -> dict[str, str]:
        """Return the names that the module imports, anywhere in it, each with the full name it stands for."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            elif isinstance(node, ast.ImportFrom):
                home = self._home(node)
                found |= {alias.asname or alias.name: f"{home}.{alias.name}" for alias in node.names}
        return found

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Return what the module itself defines at its top, also below `if` and `try`."""
        return dict(_definitions(self.tree.body))

    def full_name(self, node: ast.expr | None) -> str:
        """Return the dotted name that an expression stands for, as `torch.nn.Linear`; empty where it is none."""
        if isinstance(node, ast.Attribute):
            owner = self.full_name(node.value)
            return f"{owner}.{node.attr}" if owner else ""
        if not isinstance(node, ast.Name):
            return ""
        own = f"{self.name}.{node.id}" if node.id in self.definitions else node.id
        return self.imports.get(node.id, own)

    def functions(self) -> Iterator[Function]:
        """Yield every function and method."""
        yield from (node for node in self.nodes if isinstance(node, Function))

    def calls(self) -> Iterator[ast.Call]:
        """Yield every call."""
        yield from (node for node in self.nodes if isinstance(node, ast.Call))

    def classes(self) -> Iterator[Class]:
        """Yield every class."""
        yield from (Class(self, node) for node in self.nodes if isinstance(node, ast.ClassDef))

    def _home(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        is_package = self.path.name == "__init__.py"
        parents = self.name.split(".")[: None if is_package and node.level == 1 else -(node.level - is_package)]
        return ".".join([*parents, *([node.module] if node.module else [])])


@dataclass(frozen=True)
class Class:
    """A class statement and the module it stands in."""

    module: Module
    node: ast.ClassDef

    @property
    def name(self) -> str:
        """Return the full name."""
        return f"{self.module.name}.{self.node.name}"

    @property
    def bases(self) -> list[str]:
        """Return the full names of the bases; `Generic[T]` is `Generic`."""
        written = (base.value if isinstance(base, ast.Subscript) else base for base in self.node.bases)
        return [name for name in map(self.module.full_name, written) if name not in ("", "object")]

    @functools.cached_property
    def methods(self) -> dict[str, Function]:
        """Return the functions in the class by name."""
        return {node.name: node for node in self.node.body if isinstance(node, Function)}

    def decorated(self, *names: str) -> bool:
        """Return whether one of the decorators has one of these last names."""
        return any(_last_name(decorator) in names for decorator in self.node.decorator_list)

    def value(self, name: str) -> ast.expr | None:
        """Return what a class attribute is set to."""
        for node in self.node.body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                return getattr(node, "value", None)
        return None


class Code:
    """The code below a folder, and of the runtime; a module is read when it is first asked for."""

    def __init__(self, root: Path, files: list[Path]) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self.modules = [self._read(path) for path in files]

    def module(self, name: str) -> Module | None:
        """Return a module of the project or the runtime by its full name."""
        if name not in self._modules:
            is_runtime = name.partition(".")[0] == "scaffold"
            base = Path(scaffold.__path__[0]).parent if is_runtime else self.root
            stem = base.joinpath(*name.split("."))
            path = next((path for path in (stem.with_suffix(".py"), stem / "__init__.py") if path.is_file()), None)
            self._modules[name] = parse(path, name) if path else None
        return self._modules[name]

    def is_ours(self, name: str) -> bool:
        """Return whether a full name lies in the project or in the runtime."""
        return name == RUNTIME or name.startswith(f"{RUNTIME}.") or bool(self.module(name.partition(".")[0]))

    def find(self, name: str, depth: int = 8) -> tuple[Module, ast.stmt] | None:
        """Return the statement that defines a full name, through modules that only pass it on; None where none does."""
        home, _, last = self._at_home(name).rpartition(".")
        module = self.module(home) if home else None
        if module is None or not depth:
            return None
        if last in module.definitions:
            return module, module.definitions[last]
        return self.find(module.imports[last], depth - 1) if last in module.imports else None

    def find_class(self, name: str) -> Class | None:
        """Return a class by its full name."""
        found = self.find(name)
        return Class(found[0], found[1]) if found and isinstance(found[1], ast.ClassDef) else None

    def line_of_classes(self, cls: Class) -> list[Class]:
        """Return a class and all its bases that can be read, in the order in which Python looks for attributes."""
        found = [cls]
        for base in cls.bases:
            known = self.find_class(base)
            if known and known != cls:
                found += self.line_of_classes(known)
        return list(reversed(dict.fromkeys(reversed(found))))  # a base that several share comes after all of them

    def foreign_bases(self, cls: Class) -> list[str]:
        """Return the full names of bases, however far up, that cannot be read: they lie in other packages."""
        return [base for one in self.line_of_classes(cls) for base in one.bases if not self.find_class(base)]

    def method(self, cls: Class, name: str) -> tuple[Class, Function] | None:
        """Return the class that defines what an attribute of a class leads to, and the function."""
        return next(((one, one.methods[name]) for one in self.line_of_classes(cls) if name in one.methods), None)

    def value(self, cls: Class, name: str) -> tuple[Class, ast.expr] | None:
        """Return the class that sets a class attribute, and the expression it is set to."""
        found = ((one, one.value(name)) for one in self.line_of_classes(cls))
        return next(((one, value) for one, value in found if value is not None), None)

    def is_lightning(self, cls: Class) -> bool:
        """Return whether Lightning calls the methods of a class."""
        bases = self.foreign_bases(cls)
        return any(base.rpartition(".")[2] in HOOKED and not base.startswith("transformers.") for base in bases)

    def is_module(self, cls: Class) -> bool:
        """Return whether a class is an nn.Module, as far as the names of its bases tell."""
        return any(map(_is_module_base, self.foreign_bases(cls)))

    def _read(self, path: Path) -> Module:
        name = ".".join(path.relative_to(self.root).with_suffix("").parts).removesuffix(".__init__")
        module = parse(path, name)
        self._modules[name] = module
        return module

    def _at_home(self, name: str) -> str:
        promised = name.removeprefix(f"{RUNTIME}.")
        home = scaffold.runtime._HOMES.get(promised) if promised != name else None
        return f"{RUNTIME}.{home}.{promised}" if home else name


def parse(path: Path, name: str) -> Module:
    """Read a file; one that is not Python keeps its error."""
    try:
        text = path.read_bytes()
        return Module(name, path, ast.parse(text), text.decode("utf-8", "replace"))
    except SyntaxError as error:
        return Module(name, path, ast.Module([], []), error=error)
    except ValueError as error:  # null bytes
        return Module(name, path, ast.Module([], []), error=SyntaxError(str(error)))


def typed(path: Path) -> str:
    """Return a path as one would type it in the current folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def words(text: str) -> frozenset[str]:
    """Return the names in a text, for tables of names."""
    return frozenset(text.split())


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function, without those of functions and classes in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, Function | ast.ClassDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def parameters(function: Function) -> list[ast.arg]:
    """Return the parameters that can be given by name, without `self` and `cls`."""
    named = [*function.args.posonlyargs, *function.args.args]
    is_static = any(_last_name(decorator) == "staticmethod" for decorator in function.decorator_list)
    return [*named[0 if is_static else 1 :], *function.args.kwonlyargs]


def text_of(node: ast.AST | None) -> str | None:
    """Return the text of a literal; None where it is something else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _last_name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _is_module_base(name: str) -> bool:
    last = name.rpartition(".")[2]
    if name.startswith("transformers."):
        return last.endswith(("Model", "PreTrainedModel")) or "For" in last
    return name.startswith(("torch.nn.", "torchmetrics.")) or last in ("LightningModule", "Module")


def _definitions(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name, node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (
                (name.id, node) for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
            )
        elif isinstance(node, ast.If | ast.Try):
            yield from _definitions([*node.body, *node.orelse, *getattr(node, "finalbody", [])])
            yield from _definitions([line for handler in getattr(node, "handlers", []) for line in handler.body])

"""What an expression gives: a layer, a parameter, a tensor, or a plain container of them, as far as the code shows."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from scaffold.check.code import Class, Code, Function, Module, own_nodes, words

Kind = Literal["layer", "parameter", "tensor", "layers", "parameters", "tensors", "container", ""]
MANY: dict[Kind, Kind] = {"layer": "layers", "parameter": "parameters", "tensor": "tensors"}
MANY |= {"layers": "layers", "parameters": "parameters", "tensors": "tensors"}
FACTORIES = words(
    """arange as_tensor empty eye from_numpy full hann_window linspace logspace normal ones rand randint randn randperm
    tensor tril_indices triu_indices zeros"""
)
FUNCTIONS = words(
    """cat cos exp log ones_like outer rand_like randn_like sigmoid sin softmax sqrt stack tanh tril triu where
    zeros_like"""
)
PLAIN_RESULTS = ("dim", "item", "numel", "numpy", "size", "tolist")
LAYER_STAYS = ("to", "train", "eval", "requires_grad_", "apply", "float", "half", "double", "bfloat16")
NOT_LAYERS = ("torch.nn.functional.", "torch.nn.init.", "torch.nn.utils.", "torch.nn.attention.")
DEPTH = 4  # calls of the person's own functions that are followed


@dataclass
class Kinds:
    """Reads a function: what its names and the attributes of `self` hold after each statement."""

    code: Code
    module: Module
    owner: Class | None = None
    depth: int = DEPTH
    names: dict[str, Kind] = field(default_factory=dict)

    def read(self, function: Function | ast.ClassDef) -> Iterator[tuple[str, Kind, ast.stmt | ast.expr]]:
        """Yield each name or attribute of self that a statement sets or fills, with what it then holds."""
        for node in own_nodes(function):
            for target, kind in self._effects(node):
                self.names[target] = kind
                yield target, kind, node  # type: ignore[misc]

    def of(self, node: ast.expr | None) -> Kind:
        """Return the kind of an expression."""
        if isinstance(node, ast.Name | ast.Attribute) and (name := _written(node)) in self.names:
            return self.names[name]
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return self._container(node.elts)
        if isinstance(node, ast.Dict):
            return self._container(node.values)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp):
            return self._container([node.elt])
        if isinstance(node, ast.DictComp):
            return self._container([node.value])
        if isinstance(node, ast.BinOp):
            return self.of(node.left) or self.of(node.right)
        if isinstance(node, ast.IfExp):
            return self.of(node.body) or self.of(node.orelse)
        return self._of_call(node) if isinstance(node, ast.Call) else ""

    def _container(self, parts: list[ast.expr]) -> Kind:
        kinds = [self.of(part.value if isinstance(part, ast.Starred) else part) for part in parts]
        return next((MANY[kind] for kind in kinds if kind in MANY), "container")

    def _of_call(self, call: ast.Call) -> Kind:
        name = self.module.full_name(call.func)
        if kind := self._of_library(name, call):
            return kind
        if name in ("list", "tuple", "dict", "set"):
            values = [*call.args, *(word.value for word in call.keywords)]
            return self._container(values) if values else "container"
        if isinstance(call.func, ast.Attribute):
            return self._of_method(call.func)
        found = self.code.find(name) if self.depth else None
        if found and isinstance(found[1], ast.ClassDef):
            return "layer" if self.code.is_module(Class(found[0], found[1])) else ""
        return self._returned(found[0], found[1], None) if found and isinstance(found[1], Function) else ""

    def _of_library(self, name: str, call: ast.Call) -> Kind:
        home, _, last = name.rpartition(".")
        if name in ("torch.nn.Parameter", "torch.nn.Buffer"):
            return "parameter"
        if name.startswith(("torch.nn.", "torchmetrics.")) and last[:1].isupper() and not name.startswith(NOT_LAYERS):
            return "layer"
        if name.startswith("transformers.") and ("from_pretrained", "from_config").count(last):
            return "layer" if "Model" in home or "For" in home else ""
        if home == "torch" and last in FACTORIES | FUNCTIONS:
            return "tensor"
        return self.of(call.args[0]) if name in ("copy.deepcopy", "copy.copy") and call.args else ""

    def _of_method(self, function: ast.Attribute) -> Kind:
        """Return what a method gives: of a tensor again a tensor, of `self` what it returns."""
        receiver = self.of(function.value)
        if receiver in ("tensor", "layer"):
            stays = function.attr not in PLAIN_RESULTS and (receiver == "tensor" or function.attr in LAYER_STAYS)
            return receiver if stays else ""
        if function.attr == "build" and ast.unparse(function.value).endswith("backbone"):
            return "layer"
        if isinstance(function.value, ast.Name) and function.value.id in ("self", "cls") and self.owner and self.depth:
            found = self.code.method(self.owner, function.attr)
            return self._returned(found[0].module, found[1], self.owner) if found else ""
        return ""

    def _returned(self, module: Module, function: Function, owner: Class | None) -> Kind:
        inner = Kinds(self.code, module, owner, self.depth - 1)
        for _ in inner.read(function):
            pass
        values = [node.value for node in own_nodes(function) if isinstance(node, ast.Return)]
        return next((kind for kind in map(inner.of, values) if kind), "")

    def _effects(self, node: ast.AST) -> Iterator[tuple[str, Kind]]:
        """Yield what a statement sets: `name = …`, `name.append(…)`, `name[…] = …`."""
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                yield from self._assigned(target, node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            name = _written(node.func.value)
            if node.func.attr in ("append", "extend", "insert", "update") and self.names.get(name) in ("container", ""):
                yield name, MANY.get(self.of(node.args[-1]), self.names[name])

    def _assigned(self, target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, Kind]]:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, other in zip(target.elts, value.elts, strict=True):
                yield from self._assigned(one, other)
        elif isinstance(target, ast.Subscript):
            name = _written(target.value)
            if self.names.get(name) == "container":
                yield name, MANY.get(self.of(value), "container")
        elif name := _written(target):
            yield name, self.of(value)


def made_in(code: Code, cls: Class, methods: Mapping[str, Function]) -> Iterator[tuple[str, Kind, ast.AST]]:
    """Yield what each attribute of self is set to in some methods of a class: its name, kind and statement."""
    reader = Kinds(code, cls.module, cls)
    for method in methods.values():
        for target, kind, node in reader.read(method):
            if target.startswith("self.") and target.count(".") == 1:
                yield target.removeprefix("self."), kind, node


def _written(node: ast.expr) -> str:
    """Return `name` or `self.name` as it is written; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return f"self.{node.attr}" if isinstance(node.value, ast.Name) and node.value.id == "self" else ""
    return node.id if isinstance(node, ast.Name) else ""

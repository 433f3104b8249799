"""Layers, metrics, parameters and tensors that a module holds where PyTorch and Lightning do not see them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check.code import Class, Function, own_nodes
from scaffold.check.finding import Finding
from scaffold.check.kinds import Kind, Kinds, made_in
from scaffold.check.rule import Rule
from scaffold.check.source import Source

MAKERS = ("__init__", "setup", "configure_model", "build", "post_init")
REGISTERING = ("add_module", "register_module", "register_parameter", "register_buffer", "setattr", "__setattr__")
FIXES: dict[Kind, str] = {
    "layers": "Use nn.ModuleList or nn.ModuleDict.",
    "parameters": "Use nn.ParameterList or nn.ParameterDict.",
    "tensors": "Call self.register_buffer for each of them.",
    "tensor": 'Call self.register_buffer("NAME", tensor), with persistent=False if checkpoints need not hold it.',
    "layer": "Make it in __init__: self.NAME = …",
    "parameter": "Make it in __init__: self.NAME = nn.Parameter(…)",
}


def find(source: Source) -> Iterator[Finding]:
    """Yield each attribute of a module that holds something which is not registered."""
    for module in source.modules:
        for cls in module.classes():
            if source.code.is_module(cls):
                yield from _in_class(source, cls)
                yield from _in_body(source, cls)


def _in_class(source: Source, cls: Class) -> Iterator[Finding]:
    makers = {name: method for name, method in cls.methods.items() if _makes(cls, name, method)}
    seen: dict[str, tuple[Kind, ast.AST]] = {}
    for name, kind, node in made_in(source.code, cls, makers):
        if kind in ("layer", "parameter", "container", ""):
            seen.pop(name, None)  # what is set last counts: a list may become a ModuleList
        elif kind != "tensor" or not _is_moved(cls, name):
            seen[name] = kind, node
    for name, (kind, node) in seen.items():
        holder = "as a plain attribute" if kind == "tensor" else "in a plain list, tuple or dict"
        fix = FIXES[kind].replace("NAME", name)
        yield RULE.finding(f"self.{name} holds {_noun(kind)} {holder}", measured=kind, fix=fix, **cls.module.at(node))


def _in_body(source: Source, cls: Class) -> Iterator[Finding]:
    for name, kind, node in Kinds(source.code, cls.module, cls).read(cls.node):
        if kind not in ("", "container"):
            fix = FIXES[kind].replace("NAME", name)
            what = f"{name} is {_noun(kind)} of the class, which all its objects share"
            yield RULE.finding(what, measured=kind, fix=fix, **cls.module.at(node))


def _makes(cls: Class, name: str, method: Function) -> bool:
    """Return whether a method makes the module's parts, and does not register them by itself."""
    is_called = any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == f"self.{name}"
        for node in (own_nodes(cls.methods["__init__"]) if "__init__" in cls.methods else ())
    )
    if name not in MAKERS and not is_called:
        return False
    calls = [node.func for node in own_nodes(method) if isinstance(node, ast.Call)]
    return not any(
        (call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")) in REGISTERING for call in calls
    )


def _is_moved(cls: Class, name: str) -> bool:
    """Return whether every use of a tensor moves it to a device first."""
    uses = [node for node in ast.walk(cls.node) if _reads(node, name)]
    moved = {
        node.value
        for node in ast.walk(cls.node)
        if isinstance(node, ast.Attribute) and node.attr in ("to", "type_as", "item", "tolist", "shape")
    }
    return bool(uses) and all(use in moved for use in uses)


def _reads(node: ast.AST, name: str) -> bool:
    is_attribute = isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)
    return is_attribute and ast.unparse(node) == f"self.{name}"


def _noun(kind: Kind) -> str:
    return {"layer": "a layer", "parameter": "a parameter", "tensor": "a tensor"}.get(kind, kind)


RULE = Rule(
    id="hidden-state",
    severity="error",
    title="A module holds layers, metrics, parameters or tensors where PyTorch does not see them.",
    why="They get no gradient from the optimizer, stay on the CPU when the model moves, and are in no checkpoint.",
    fix="Hold layers in nn.ModuleList or nn.ModuleDict, and tensors in buffers.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.layers = [nn.Linear(8, 8) for _ in range(2)]
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        for layer in self.layers:
            hidden = layer(hidden).relu()
        return self.head(hidden)
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.embedding(input_ids)
        for layer in self.layers:
            hidden = layer(hidden).relu()
        return self.head(hidden)
""",
    find=find,
)

"""Devices that are written by hand in a model."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from scaffold.check.code import Class, Function, Module, own_nodes, text_of
from scaffold.check.finding import Finding
from scaffold.check.kinds import FACTORIES
from scaffold.check.rule import Rule
from scaffold.check.source import Source

STEPS = ("forward", "training_step", "validation_step", "test_step", "predict_step", "infer", "batch_predict")
DEVICES = ("cuda", "mps", "xpu", "hpu")
NUMBERS = ("item", "tolist", "numpy", "numel", "shape")  # what becomes a number is on no device
MOVING = ("to", "type_as", *NUMBERS)  # after one of these, where a tensor was made does not matter
ON_CPU = ("int", "float", "bool", "range", "len")


def find(source: Source) -> Iterator[Finding]:
    """Yield calls that name a device, and tensors that a step makes on whatever device is the default."""
    for module in source.modules:
        told: set[ast.AST] = set()
        for cls in module.classes():
            if source.code.is_module(cls):
                for method in cls.methods.values():
                    yield from _named(module, ast.walk(method), DEVICES, told)
        for function in _reached(source, module, ("forward",)):
            harmless = _harmless(function, NUMBERS)
            yield from _named(module, (node for node in own_nodes(function) if node not in harmless), ("cpu",), told)
        for function in _reached(source, module, STEPS):
            yield from _left_behind(module, function)


def _named(module: Module, nodes: Iterable[ast.AST], devices: tuple[str, ...], told: set[ast.AST]) -> Iterator[Finding]:
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        if call not in told and (device := _device_of(module, call, devices)):
            told |= set(ast.walk(call))  # `x.to(torch.device("cuda"))` is one mistake
            yield RULE.finding(f"{ast.unparse(call)[:80]} names a device", measured=device, **module.at(call))


def _device_of(module: Module, call: ast.Call, devices: tuple[str, ...]) -> str | None:
    """Return the device that a call names: `x.cuda()`, `x.to("cuda:0")`, `device="cuda"`.

    `x.cpu()` is left alone: packing sequences, logging and numpy ask for it.
    """
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name in devices and name != "cpu" and not module.full_name(call.func).startswith("torch."):
        return name
    takes_device = name == "to" or module.full_name(call.func) in ("torch.device", "torch.cuda.set_device")
    given = [word.value for word in call.keywords if word.arg in ("device", "map_location")] + (
        call.args[:1] if takes_device else []
    )
    texts = [text for value in given for node in ast.walk(value) if (text := text_of(node))]
    return next((text for text in texts if text.startswith(devices)), None)


def _reached(source: Source, module: Module, roots: tuple[str, ...]) -> list[Function]:
    """Return the functions of a module that some methods of its models lead to, by name."""
    reached: dict[Function, None] = {}
    for cls in module.classes():
        if source.code.is_module(cls):
            waiting = [cls.methods[name] for name in roots if name in cls.methods]
            while waiting:
                function = waiting.pop()
                if function not in reached:
                    reached[function] = None
                    waiting += _called(module, cls, function)
    return list(reached)


def _called(module: Module, cls: Class, function: Function) -> Iterator[Function]:
    for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) in ("self", "cls", cls.node.name):
            yield from [cls.methods[call.func.attr]] if call.func.attr in cls.methods else []
        elif isinstance(call.func, ast.Name):
            found = module.definitions.get(call.func.id)
            yield from [found] if isinstance(found, Function) else []


def _left_behind(module: Module, function: Function) -> Iterator[Finding]:
    """Yield every tensor that is made without a device and used together with others."""
    harmless = _harmless(function, MOVING)
    for call in (node for node in own_nodes(function) if isinstance(node, ast.Call)):
        home, _, name = module.full_name(call.func).rpartition(".")
        is_made = home == "torch" and name in FACTORIES and name != "from_numpy"
        if is_made and call not in harmless and not _has_device(call) and not _is_number(name, call):
            place, text = module.at(call), ast.unparse(call)[:80]
            what = f"torch.{name} makes a tensor without a device"
            fix = "Give it device=… of a tensor that it meets, or use its new_zeros, new_tensor or torch.…_like."
            yield RULE.finding(what, measured=text, severity="warning", fix=fix, **place)


def _harmless(function: Function, after: tuple[str, ...]) -> set[ast.AST]:
    """Return the nodes whose result is used as an index or a condition, or one of some methods of it alone."""
    nodes = list(own_nodes(function))
    fine: set[ast.AST] = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in after:
            fine |= set(ast.walk(node.value))
        elif isinstance(node, ast.Subscript):
            fine |= set(ast.walk(node.slice))
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            fine |= set(ast.walk(node.test))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ON_CPU:
            fine |= {inner for argument in node.args for inner in ast.walk(argument)}
    for node in nodes:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            uses = [one for one in nodes if _reads(one, node.targets[0].id)]
            if (uses and all(use in fine for use in uses)) or _is_moved(node.targets[0].id, nodes, after):
                fine |= set(ast.walk(node.value))
    return fine


def _is_moved(name: str, nodes: list[ast.AST], after: tuple[str, ...]) -> bool:
    """Return whether a name is set again to what it held, moved: `places = places.expand(2, -1).to(device)`."""
    again = [node.value for node in nodes if isinstance(node, ast.Assign) and _written(node.targets[0]) == name]
    called = [one.func for one in again if isinstance(one, ast.Call) and isinstance(one.func, ast.Attribute)]
    return any(one.attr in after and any(_reads(node, name) for node in ast.walk(one)) for one in called)


def _written(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _reads(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)


def _has_device(call: ast.Call) -> bool:
    return any(word.arg in ("device", None) for word in call.keywords)


def _is_number(name: str, call: ast.Call) -> bool:
    """Return whether the tensor has no dimension: one number may meet a tensor on any device."""
    first = call.args[0] if call.args else None
    if name in ("tensor", "as_tensor"):
        return not isinstance(first, ast.List | ast.Tuple | ast.ListComp) and not isinstance(first, ast.Name)
    return isinstance(first, ast.Tuple | ast.List) and not first.elts


RULE = Rule(
    id="fixed-device",
    severity="error",
    title="The model names a device, or makes tensors on whatever device is the default.",
    why="It fails on other machines and with several GPUs: the trainer moves the model and its batches, not these.",
    fix="Leave devices to the trainer; make tensors where others are: device=hidden.device.",
    example="""\
import torch
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 8)
        self.places = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3).to("cuda:0")

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1])
        return self.head((self.embedding(input_ids) + self.places(places)).mean(dim=1))
""",
    instead="""\
import torch
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 8)
        self.places = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor) -> Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)
        return self.head((self.embedding(input_ids) + self.places(places)).mean(dim=1))
""",
    find=find,
)

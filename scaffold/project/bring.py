"""A model class that a person brings along: read from its source, nothing of it is run."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scaffold.errors import UsageError, Where, nearest, shown
from scaffold.project import spelling
from scaffold.project.questions import filled
from scaffold.project.registered import registered_text
from scaffold.project.returned import DICT, returned
from scaffold.project.spec import ProjectSpec

MODULES = frozenset({"Module", "nn.Module", "torch.nn.Module"})
SIZED = frozenset({"Embedding", "Linear", "LSTM", "GRU", "RNN", "Conv1d", "Conv2d", "Conv3d"})  # by two arguments


@dataclass(frozen=True, slots=True)
class Brought:
    """A class in a file: its text and what its constructor and `forward` take.

    classes: those of the same file, among which its bases may be.
    """

    file: Path
    text: str
    node: ast.ClassDef
    classes: Mapping[str, ast.ClassDef]

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.node.name

    def lineage(self) -> Iterator[ast.ClassDef]:
        """Yield the class, and those of its bases that are in the same file."""
        waiting, seen = [self.node], set()
        while waiting:
            node = waiting.pop(0)
            if node.name not in seen:
                seen.add(node.name)
                names = [base.id for base in node.bases if isinstance(base, ast.Name)]
                waiting += [self.classes[name] for name in names if name in self.classes]
                yield node

    def outer_bases(self) -> list[str]:
        """Return the bases that are not in the same file, as they are written there."""
        bases = (ast.unparse(base) for node in self.lineage() for base in node.bases)
        return [base for base in bases if base not in self.classes and base not in ("object", "ABC", "abc.ABC")]

    def is_beside(self, module: str) -> bool:
        """Say whether a module lies in the folder of the file."""
        root = self.file.parent / module.partition(".")[0]
        return root.with_name(f"{root.name}.py").is_file() or (root / "__init__.py").is_file()

    def method(self, name: str) -> ast.FunctionDef | None:
        """Return a method of the class, its own or that of a base in the same file, if it has it."""
        methods = (one for node in self.lineage() for one in node.body if isinstance(one, ast.FunctionDef))
        return next((one for one in methods if one.name == name), None)

    def parameters(self, method: str) -> dict[str, tuple[ast.arg, ast.expr | None]]:
        """Return the parameters of a method but the first, each with its default."""
        found = self.method(method)
        if found is None:
            return {}
        given = found.args
        positional = [*given.posonlyargs, *given.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
        pairs = [
            *list(zip(positional, defaults, strict=True))[1:],
            *zip(given.kwonlyargs, given.kw_defaults, strict=True),
        ]
        return {parameter.arg: (parameter, default) for parameter, default in pairs}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a template puts a class that is brought to it, and what it hands to it: `brings` in its `template.yml`.

    facts: what the data says -> the arguments of a constructor that it answers. inputs, targets: those of `forward`.
    """

    model_file: str
    model_conf: str
    target: str
    facts: Mapping[str, list[str]]
    inputs: list[str]
    targets: list[str]


def read(place: str) -> Brought:
    """Return the class that `path/to/model.py:ClassName` names; UsageError says what is wrong with it."""
    path, _, name = place.rpartition(":")
    if not path or not name.isidentifier():
        raise _refused(
            f"{shown(place)} names no class", "", "write the file and the class: --from path/to/model.py:ClassName"
        )
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except OSError as fault:
        raise _refused(f"{file} cannot be read", fault.strerror or "", "name another file", file) from None
    except (SyntaxError, UnicodeDecodeError) as fault:
        raise _refused(f"{file} is not Python", str(fault), "correct it, or name another file", file) from None
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if name not in classes:
        near = nearest(name, classes)
        because = f"it has {', '.join(classes)}" if classes else "it has no class"
        raise _refused(
            f"{file} has no class {name}", because, f"did you mean {near}?" if near else "name another", file
        )
    return Brought(file, text, classes[name], classes)


def edits(brought: Brought, spec: ProjectSpec) -> dict[str, str]:
    """Return the files of a project that the class changes: the model's, copied and registered, and its config.

    Errors: UsageError where the template takes no class.
    """
    slot = slot_of(spec)
    return {
        slot.model_file: registered_text(brought.text, brought.node, spec.names.project),
        slot.model_conf: config_text(brought, slot, spec.names.project),
    }


def slot_of(spec: ProjectSpec) -> Slot:
    """Return what the template says of a class that is brought to it, names filled in; errors as for `edits`."""
    found = spec.template.data.get("brings")
    if found is None:
        raise _refused(
            f"{spec.template.name} takes no class of your own",
            "its model is more than an nn.Module",
            "copy your code into its model.py, or choose encoder or image-classifier",
        )
    context = spec.context()
    entries: dict[str, Any] = {
        key: filled(value, context) if isinstance(value, str) else value for key, value in found.items()
    }
    return Slot(**entries)


def config_text(brought: Brought, slot: Slot, name: str) -> str:
    """Return the config of the class: each argument with its type, and its default or what the data says."""
    lines = [
        f"# The arguments of {brought.name} in {slot.model_file}, with their types.",
        f"_target_: {slot.target}",
        f'model_name: "{name}"',
        "model_kwargs:",
    ]
    arguments = list(_arguments(brought, slot.facts))
    lines += [
        f"  {_key(name)}: {value}{f' # {kind}' if kind else ''}" for name, value, kind in arguments if value is not None
    ]
    if not any(value is not None for _, value, _ in arguments):
        lines[-1] += " {}"
    return "\n".join([*lines, "optim_conf: ${optim}", ""])


def misfits(brought: Brought, spec: ProjectSpec) -> list[str]:
    """Return what of the class does not fit the template's contract yet, one sentence each."""
    slot = slot_of(spec)
    return [*_constructor_misfits(brought, slot), *_forward_misfits(brought, slot), *_import_misfits(brought)]


def _arguments(brought: Brought, facts: Mapping[str, list[str]]) -> Iterator[tuple[str, str | None, str]]:
    """Yield each argument with its value as YAML (None: only Python can write its default) and its type."""
    by_name = {name: fact for fact, names in facts.items() for name in names}
    needed = _needed(brought)
    for name, (parameter, default) in brought.parameters("__init__").items():
        kind = ast.unparse(parameter.annotation) if parameter.annotation else ""
        if name in by_name:
            yield name, f"${{fact:{by_name[name]}}}", kind
        else:
            yield name, "???" if default is None or name in needed else _as_yaml(default), kind


def _needed(brought: Brought) -> set[str]:
    """Return the arguments that are None by default, though the constructor makes a layer of that size of them."""
    method = brought.method("__init__")
    nodes = list(ast.walk(method)) if method else []
    sizes = (node.args[:2] for node in nodes if isinstance(node, ast.Call) and _has_size(node))
    tested = [node.test for node in nodes if isinstance(node, ast.If | ast.IfExp)]
    tested += [node for node in nodes if isinstance(node, ast.BoolOp | ast.Compare)]
    treated = {one.id for node in tested for one in ast.walk(node) if isinstance(one, ast.Name)}
    treated |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    optional = {
        name
        for name, (_, default) in brought.parameters("__init__").items()
        if isinstance(default, ast.Constant) and default.value is None
    }
    return optional & {one.id for size in sizes for one in size if isinstance(one, ast.Name)} - treated


def _has_size(call: ast.Call) -> bool:
    owner, _, name = ast.unparse(call.func).rpartition(".")
    return owner in ("nn", "torch.nn") and name in SIZED


def _as_yaml(default: ast.expr) -> str | None:
    try:
        return json.dumps(_literal(ast.literal_eval(default)), allow_nan=False, ensure_ascii=False)
    except (ValueError, TypeError):
        return None


def _literal(value: Any) -> Any:
    """Return plain data in which no text refers to another key of the config."""
    if isinstance(value, dict):
        return {name: _literal(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(one) for one in value]
    return spelling.literal(value) if isinstance(value, str) else value


def _key(name: str) -> str:
    return name if yaml.safe_load(name) == name else json.dumps(name)  # to YAML, yes, no, on, off and null are no texts


def _constructor_misfits(brought: Brought, slot: Slot) -> Iterator[str]:
    bases = brought.outer_bases()
    if not bases:
        yield f"{brought.name} has no base: write class {brought.name}(nn.Module)"
    method = brought.method("__init__")
    for parameter in method.args.posonlyargs[1:] if method else ():
        yield f"{parameter.arg} stands before a / and cannot be given by its name: take the / out of __init__"
    if method is None and bases and not set(bases) <= MODULES:
        yield f"{brought.name} has no __init__ of its own: its arguments are not known"
    elif method and (method.args.vararg or method.args.kwarg):
        yield "__init__ takes * or **: only the arguments that it names are in the config"
    for name, value, kind in _arguments(brought, slot.facts):
        if value == "???":
            yield f"model_kwargs.{name}{f' ({kind})' if kind else ''} needs a value: ??? stands there"
        elif value is None:
            yield f"the default of {name} is no plain data, so it is not in the config"


def _forward_misfits(brought: Brought, slot: Slot) -> Iterator[str]:
    method = brought.method("forward")
    if method is None:
        yield f"{brought.name} has no forward"
        return
    parameters = brought.parameters("forward")
    batch = [*slot.inputs, *slot.targets]
    takes_any = method.args.kwarg is not None
    missing = [name for name in batch if name not in parameters]
    if takes_any and missing:
        yield f"forward passes over {', '.join(missing)}: its ** takes what it does not name"
    yield from (f"forward takes no {name}, which every batch has" for name in missing if not takes_any)
    for name, (_, default) in parameters.items():
        if default is None and name not in batch:
            yield f"nothing gives forward its argument {name}"
    if given := returned(method, brought.method("__init__")):
        also = ", which is one, too" if given == DICT else ""
        yield f"forward returns {given}: return ClassificationOutput(logits=…, loss=…){also}"


def _import_misfits(brought: Brought) -> Iterator[str]:
    imports = (node for node in ast.walk(ast.parse(brought.text)) if isinstance(node, ast.Import | ast.ImportFrom))
    for node in sorted(imports, key=lambda node: node.lineno):
        names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if any(map(brought.is_beside, names)) or (isinstance(node, ast.ImportFrom) and node.level):
            yield f"line {node.lineno} imports from beside the file, which is not copied: {ast.unparse(node)}"


def _refused(what: str, because: str, fix: str, file: Path | None = None) -> UsageError:
    return UsageError(what, because=because, fix=fix, where=Where(file=str(file) if file else None), code="usage.from")

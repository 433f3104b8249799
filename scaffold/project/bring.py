"""A model class that a person brings along: read from its source, nothing of it is run."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from scaffold.errors import UsageError, Where, shown
from scaffold.project.questions import filled
from scaffold.project.spec import ProjectSpec


@dataclass(frozen=True, slots=True)
class Brought:
    """A class in a file: its text and what its constructor and `forward` take."""

    file: Path
    text: str
    node: ast.ClassDef

    @property
    def name(self) -> str:
        """The name of the class."""
        return self.node.name

    def method(self, name: str) -> ast.FunctionDef | None:
        """Return a method of the class, if it has it."""
        return next((one for one in self.node.body if isinstance(one, ast.FunctionDef) and one.name == name), None)

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
        near = get_close_matches(name, classes, n=1)
        because = f"it has {', '.join(classes)}" if classes else "it has no class"
        raise _refused(
            f"{file} has no class {name}", because, f"did you mean {near[0]}?" if near else "name another", file
        )
    return Brought(file, text, classes[name])


def edits(brought: Brought, spec: ProjectSpec) -> dict[str, str]:
    """Return the files of a project that the class changes: the model's, copied and registered, and its config.

    Errors: UsageError where the template takes no class.
    """
    slot = slot_of(spec)
    return {
        slot.model_file: registered_text(brought, spec.names.project),
        slot.model_conf: config_text(brought, slot, spec.names.project),
    }


def slot_of(spec: ProjectSpec) -> Slot:
    """Return what the template says of a class that is brought to it, names filled in; errors as for `edits`."""
    found = spec.template.data.get("brings")
    if found is None:
        raise _refused(
            f"{spec.template.name} takes no class of your own",
            "its model is more than an nn.Module",
            "copy your code into its model.py, or choose the encoder template",
        )
    context = spec.context()
    entries: dict[str, Any] = {
        key: filled(value, context) if isinstance(value, str) else value for key, value in found.items()
    }
    return Slot(**entries)


def registered_text(brought: Brought, name: str) -> str:
    """Return the file with its class registered; nothing else is changed."""
    lines = brought.text.splitlines(keepends=True)
    first = min([brought.node.lineno, *(one.lineno for one in brought.node.decorator_list)])
    lines.insert(first - 1, f'@register("{name}")\n')
    lines.insert(_import_line(brought.text), "from scaffold.runtime import register\n")
    return "".join(lines)


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
        f"  {name}: {value}{f' # {kind}' if kind else ''}" for name, value, kind in arguments if value is not None
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
    for name, (parameter, default) in brought.parameters("__init__").items():
        kind = ast.unparse(parameter.annotation) if parameter.annotation else ""
        if name in by_name:
            yield name, f"${{fact:{by_name[name]}}}", kind
        else:
            yield name, "???" if default is None else _as_yaml(default), kind


def _as_yaml(default: ast.expr) -> str | None:
    try:
        return json.dumps(ast.literal_eval(default), allow_nan=False)
    except (ValueError, TypeError):
        return None


def _constructor_misfits(brought: Brought, slot: Slot) -> Iterator[str]:
    method = brought.method("__init__")
    if method is None:
        yield f"{brought.name} has no __init__ of its own: its arguments are not known"
    elif method.args.vararg or method.args.kwarg:
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
    if _returns_dict(method):
        yield "forward returns a dict: return ClassificationOutput(logits=…, loss=…), which is one, too"


def _returns_dict(method: ast.FunctionDef) -> bool:
    dicts = {
        target.id
        for node in ast.walk(method)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    returned = [node.value for node in ast.walk(method) if isinstance(node, ast.Return)]
    return any(isinstance(one, ast.Dict) or (isinstance(one, ast.Name) and one.id in dicts) for one in returned)


def _import_misfits(brought: Brought) -> Iterator[str]:
    for node in ast.parse(brought.text).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            yield f"line {node.lineno} imports from beside the file, which is not copied: {ast.unparse(node)}"


def _import_line(text: str) -> int:
    """Return after how many lines an import may stand: behind the docstring and what comes from the future."""
    line = 0
    for number, node in enumerate(ast.parse(text).body):
        is_docstring = number == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not is_docstring and not is_future:
            break
        line = node.end_lineno or line
    return line


def _refused(what: str, because: str, fix: str, file: Path | None = None) -> UsageError:
    return UsageError(what, because=because, fix=fix, where=Where(file=str(file) if file else None), code="usage.from")

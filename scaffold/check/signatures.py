"""What the targets of a config take, read from their code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from scaffold.check.code import RUNTIME, Class, Code, Function
from scaffold.check.foreign import taken, trainer_names
from scaffold.check.registered import PARAMS, is_wrapped, registered_model, targets
from scaffold.check.settings import Target
from scaffold.check.source import Source

INJECTED = ("backbone", "vocabulary", "context")  # what the runtime hands to the model
OPTIONS = {"scratch": "ScratchOptions", "pretrained": "PretrainedOptions"}


@dataclass(frozen=True)
class Signature:
    """The arguments of a class or function: all names, those it needs, and whether it takes any other name too."""

    name: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    is_open: bool = False


@dataclass(frozen=True)
class Section:
    """A section of the config, and the class or function that gets its keys as arguments."""

    key: str
    signature: Signature
    given: tuple[str, ...]
    needed: tuple[str, ...]


def sections(source: Source) -> Iterator[Section]:
    """Yield every section whose arguments can be read from code: those with a `_target_`, and the runtime's own."""
    for target in targets(source):
        if not source.code.is_ours(target.name):
            yield from _imported(source, target)
        elif signature := signature_of(source.code, target.name):
            signature = _of_wrapped(source, signature) if target.key == "model" else signature
            injected = INJECTED if target.key == "model" else ()
            needed = [name for name in signature.required[target.positional :] if name not in injected]
            yield Section(target.key, signature, target.arguments, () if target.is_partial else tuple(needed))
    yield from _of_registered(source)
    for key, name in _own_sections(source):
        signature = signature_of(source.code, name)
        given = source.settings.tree.get(key)
        if signature and isinstance(given, dict) and "_target_" not in given:
            yield Section(key, signature, tuple(name for name in given if name != "kind"), signature.required)
    trainer = source.settings.tree.get("trainer")
    if source.imports and isinstance(trainer, dict) and "_target_" not in trainer:
        yield Section("trainer", Signature("Trainer", tuple(trainer_names(source)), ()), tuple(trainer), ())


def _of_wrapped(source: Source, signature: Signature) -> Signature:
    """Return what a model by name takes: the keys of ModelParams stand behind its further arguments."""
    params = signature_of(source.code, PARAMS)
    if source.model is None or params is None or not is_wrapped(source.code, source.model) or not signature.is_open:
        return signature
    names, required = (*signature.names, *params.names), (*signature.required, *params.required)
    return Signature(signature.name, tuple(dict.fromkeys(names)), tuple(dict.fromkeys(required)))


def _of_registered(source: Source) -> Iterator[Section]:
    """Yield `model.model_kwargs`, which are the arguments of the model that `model.model_name` names."""
    model = registered_model(source)
    signature = of_class(source.code, model) if model else None
    given = source.settings.tree["model"].get("model_kwargs") or {} if signature else None
    if signature and isinstance(given, dict):
        yield Section("model.model_kwargs", signature, tuple(map(str, given)), signature.required)


def _imported(source: Source, target: Target) -> Iterator[Section]:
    """Yield a section of another package's class; what it needs may still be given by whoever builds it."""
    found = taken(source, target) if source.imports else None
    if found is not None:
        is_open = any(one.kind is one.VAR_KEYWORD for one in found.values())
        name = target.name.rpartition(".")[2]
        yield Section(target.key, Signature(name, tuple(found), (), is_open), target.arguments, ())


def signature_of(code: Code, name: str) -> Signature | None:
    """Return what a class or function takes; None where its code does not tell."""
    found = code.find(name)
    if found is None:
        return None
    if isinstance(found[1], ast.ClassDef):
        return of_class(code, Class(found[0], found[1]))
    is_plain = isinstance(found[1], Function) and not found[1].decorator_list
    return _of_function(name, found[1], [*_positional(found[1]), *_keywords(found[1])]) if is_plain else None


def of_class(code: Code, cls: Class) -> Signature | None:
    """Return what the constructor of a class takes."""
    line = code.line_of_classes(cls)
    owner = next((one for one in line if "__init__" in one.methods or one.decorated("dataclass")), None)
    if owner is None or any("__new__" in one.methods and not one.name.startswith(f"{RUNTIME}.") for one in line):
        return None if code.foreign_bases(cls) or owner is not None else Signature(cls.node.name, (), ())
    if "__init__" not in owner.methods:
        return _of_dataclass(code, owner)
    method = owner.methods["__init__"]
    own = _of_function(cls.node.name, method, [(arg, default) for arg, default in _all(method)][1:])
    above = _passed_on(code, owner, method) if own.is_open else None
    return _joined(own, above) if above else own


def _own_sections(source: Source) -> Iterator[tuple[str, str]]:
    options = source.code.value(source.model, "options_type") if source.model else None
    if options:
        yield "task", options[0].module.full_name(options[1])
    yield "data", "scaffold.runtime.config.data_settings.DataSettings"
    section = source.settings.tree.get("backbone")
    kind = OPTIONS.get(str(section.get("kind"))) if isinstance(section, dict) else None
    if kind:
        yield "backbone", f"scaffold.runtime.encoders.options.{kind}"


def _of_function(name: str, function: ast.stmt, arguments: list[tuple[ast.arg, ast.expr | None]]) -> Signature:
    assert isinstance(function, Function)
    names = tuple(argument.arg for argument, _ in arguments)
    required = tuple(argument.arg for argument, default in arguments if default is None)
    return Signature(name, names, required, function.args.kwarg is not None)


def _all(function: Function) -> list[tuple[ast.arg, ast.expr | None]]:
    return [*_positional(function), *_keywords(function)]


def _positional(function: ast.stmt) -> list[tuple[ast.arg, ast.expr | None]]:
    assert isinstance(function, Function)
    named = [*function.args.posonlyargs, *function.args.args]
    filled = [None] * (len(named) - len(function.args.defaults)) + list(function.args.defaults)
    return list(zip(named, filled, strict=True))


def _keywords(function: ast.stmt) -> list[tuple[ast.arg, ast.expr | None]]:
    assert isinstance(function, Function)
    return list(zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True))


def _passed_on(code: Code, owner: Class, method: Function) -> Signature | None:
    """Return what the base's constructor takes, where all further arguments are handed on to it."""
    assert method.args.kwarg is not None
    for call in (node for node in ast.walk(method) if isinstance(node, ast.Call)):
        is_super = ast.unparse(call.func) == "super().__init__"
        if is_super and any(word.arg is None and _is_name(word.value, method.args.kwarg.arg) for word in call.keywords):
            base = next(iter(code.line_of_classes(owner)[1:]), None)
            given = {word.arg for word in call.keywords}
            above = of_class(code, base) if base else None
            return above and Signature(
                above.name,
                tuple(name for name in above.names if name not in given),
                tuple(name for name in above.required if name not in given),
                above.is_open,
            )
    return None


def _joined(own: Signature, above: Signature) -> Signature:
    names = tuple(dict.fromkeys([*own.names, *above.names]))
    required = tuple(
        name for name in names if name in own.required or (name in above.required and name not in own.names)
    )
    return Signature(own.name, names, required, above.is_open)


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _of_dataclass(code: Code, cls: Class) -> Signature:
    fields: dict[str, bool] = {}
    for one in reversed(code.line_of_classes(cls)):
        for node in one.node.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and _is_field(node):
                fields[node.target.id] = node.value is None or _without_default(node.value)
    required = tuple(name for name, is_needed in fields.items() if is_needed)
    return Signature(cls.node.name, tuple(fields), required)


def _is_field(node: ast.AnnAssign) -> bool:
    is_init = not any(
        word.arg == "init" and isinstance(word.value, ast.Constant) and not word.value.value
        for word in getattr(node.value, "keywords", [])
    )
    return is_init and "ClassVar" not in ast.unparse(node.annotation)


def _without_default(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call) or not ast.unparse(value.func).endswith("field"):
        return False
    return not any(word.arg in ("default", "default_factory") for word in value.keywords)

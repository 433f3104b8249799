"""What the modules of a project register under a name, read from their decorators: `@register("my-model")`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from scaffold.check.code import Class, Code, Function, text_of
from scaffold.check.settings import Target
from scaffold.check.source import Source

WRAPPED = "scaffold.runtime.plain.wrapped.WrappedModule"
PARAMS = "scaffold.runtime.plain.model_params.ModelParams"
REGISTER = ("scaffold.runtime.register", "scaffold.runtime.plain.registry.register")
REFERENCE = re.compile(r"\$\{registered:\s*([^,}\s]+)\s*(?:,\s*(\w+)\s*)?\}")


@dataclass(frozen=True)
class Entry:
    """A name and its kind, and the full name of what stands behind it; name is None where it is no literal."""

    name: str | None
    kind: str
    path: str


def entries(code: Code, kind: str) -> list[Entry]:
    """Return everything of a kind that the checked modules register."""
    return [entry for entry in _entries(code) if entry.kind == kind]


def entry_of(code: Code, name: str, kind: str) -> Entry | None:
    """Return what is registered under a name, as far as it can be read; case, `-` and `_` make no difference."""
    return next((one for one in entries(code, kind) if one.name and _spelling(one.name) == _spelling(name)), None)


def is_wrapped(code: Code, cls: Class) -> bool:
    """Return whether a class trains the model that `model_name` names."""
    return any(one.name == WRAPPED for one in code.line_of_classes(cls))


def registered_model(source: Source) -> Class | None:
    """Return the class behind `model.model_name`; None where the model is none by name, or there is no such class."""
    name = model_name(source)
    entry = entry_of(source.code, name, "model") if name else None
    return source.code.find_class(entry.path) if entry else None


def model_name(source: Source) -> str | None:
    """Return `model.model_name`, where the config's model is one by name."""
    if not source.is_project or source.model is None or not is_wrapped(source.code, source.model):
        return None
    section = source.settings.tree.get("model")
    name = section.get("model_name") if isinstance(section, dict) else None
    return name if isinstance(name, str) and "${" not in name else None


def run_class(source: Source) -> Class | None:
    """Return the class whose forward gets the batch: the model by its name, else the model's class."""
    return registered_model(source) or source.model


def targets(source: Source) -> Iterator[Target]:
    """Yield the config's targets; `${registered:NAME,KIND}` is what it stands for, where that can be read."""
    for target in source.settings.targets():
        named = REFERENCE.fullmatch(target.name.strip())
        entry = entry_of(source.code, named[1], named[2] or "model") if named else None
        yield replace(target, name=entry.path) if entry else target


def unregistered(source: Source) -> Iterator[tuple[str, str, str]]:
    """Yield key, name and kind of what the config asks for by a name that nothing registers."""
    asked = [("model.model_name", name, "model")] if (name := model_name(source)) else []
    for target in source.settings.targets():
        named = REFERENCE.fullmatch(target.name.strip())
        asked += [(f"{target.key}._target_", named[1], named[2] or "model")] if named else []
    for key, name, kind in asked:
        is_readable = all(entry.name for entry in entries(source.code, kind))
        if is_readable and entry_of(source.code, name, kind) is None:
            yield key, name, kind


def _entries(code: Code) -> Iterator[Entry]:
    for module in code.modules:
        for node in (one for one in module.nodes if isinstance(one, Function | ast.ClassDef)):
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and module.full_name(call.func) in REGISTER:
                    given = dict(zip(("name", "kind"), call.args, strict=False))
                    given |= {word.arg: word.value for word in call.keywords if word.arg}
                    kind = text_of(given.get("kind")) or "model"
                    yield Entry(text_of(given.get("name")), kind, f"{module.name}.{node.name}")


def _spelling(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")

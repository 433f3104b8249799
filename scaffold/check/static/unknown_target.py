"""Targets of the config that do not exist."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import scaffold.runtime
from scaffold.check.code import RUNTIME
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.foreign import refusal
from scaffold.check.registered import entries, targets, unregistered
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_config
from scaffold.errors import listed, nearest, shown


def find(source: Source) -> Iterator[Finding | NotChecked]:
    """Yield every `_target_` that nothing defines; those of other packages are imported, where that is allowed."""
    left_out = []
    yield from _unregistered(source)
    for target in targets(source):
        place = source.settings.place(f"{target.key}._target_")
        if "${" in target.name:
            continue
        if source.code.is_ours(target.name):
            if source.code.find(target.name) is None:
                near = _suggestion(source, target.name)
                yield RULE.finding(f"there is no {shown(target.name)}", measured=target.name, fix=near, **place)
        elif not source.imports and _is_installed(target.name):
            left_out.append(f"{target.key} = {target.name}")
        elif error := refusal(source, target):
            what = f"{error.what}: {error.because}"
            yield RULE.finding(what, measured=target.name, fix=error.fix or None, **place)
    if left_out:
        yield RULE.not_checked(f"needs an import of other packages: {', '.join(left_out)}")


def _unregistered(source: Source) -> Iterator[Finding]:
    """Yield every name of the config under which the project registers nothing."""
    for key, name, kind in unregistered(source):
        names = [entry.name for entry in entries(source.code, kind) if entry.name]
        has = f"registered are {listed(names, 20)}" if names else f"the project registers no {kind}"
        meant = nearest(name, names)
        fix = f"Did you mean {meant}?" if meant else f'Put @register("{name}", "{kind}") above it.'
        what = f"no {kind} is registered as {shown(name)}: {has}"
        yield RULE.finding(what, measured=name, fix=fix, **source.settings.place(key))


def _is_installed(name: str) -> bool:
    """Return whether the package of a target is there; one that every project needs is taken to be."""
    from scaffold.runtime.config.objects import LIBRARIES

    package = name.partition(".")[0]
    return package in LIBRARIES or find_spec(package) is not None


def _suggestion(source: Source, name: str) -> str | None:
    """Return what was probably meant: a near name in the same module, or the same name elsewhere in the project."""
    home, _, last = name.rpartition(".")
    module = source.code.module(home)
    names = (
        [*module.definitions, *module.imports, *(scaffold.runtime.__all__ if home == RUNTIME else [])] if module else []
    )
    beside = nearest(last, names)
    elsewhere = [f"{one.name}.{last}" for one in source.modules if last in one.definitions]
    anywhere = [f"{one.name}.{each}" for one in source.modules for each in one.definitions]
    meant = f"{home}.{beside}" if beside else next(iter(elsewhere), None) or nearest(name, anywhere)
    return f"Did you mean {meant}?" if meant else None


RULE = Rule(
    id="unknown-target",
    severity="error",
    title="A `_target_` of the config names a class or function that does not exist.",
    why="Nothing can be built from this section, so training stops before it begins.",
    fix="Correct the name: package, module, class, with dots between them.",
    example="""\
_target_: mymodel.model.MyModel
num_labels: ${fact:num_labels}
dropout: 0.3
optim_conf: ${optim}
""",
    instead="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:num_labels}
dropout: 0.3
optim_conf: ${optim}
""",
    find=find,
    applies=needs_config,
    task=None,
    file="conf/model/mymodel.yaml",
    composed=True,
)

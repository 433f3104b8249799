"""The check from end to end: both halves over a project, over a lone class, or over a model at hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaffold.check.arguments import check_arguments
from scaffold.check.families import named_family
from scaffold.check.finding import Finding, NotChecked, Report, counted
from scaffold.check.rule import HALVES, Rule, load_rules, rule_ids
from scaffold.check.source import Source, open_source
from scaffold.errors import UsageError, listed, shown

EXAMPLES = ("hidden-state", "output-shape", "padding")
MISNAMED = ("unknown-target", "unknown-argument")  # what running the model would only say once more
NEEDED = ("torch", "lightning", "transformers")


def check_path(
    path: str | Path = ".",
    *,
    task: str | None = None,
    init: Mapping[str, Any] | None = None,
    static: bool = False,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> Report:
    """Check the project in a folder, or a class given as `file.py:ClassName`.

    task, init: the family of a lone class, and arguments of its constructor. static: leave out what runs the model.
    only, skip: ids of rules.

    Errors: UsageError for a path, a task or a rule that does not exist.
    """
    check_ids([*only, *skip])
    source = open_source(path, task, imports=not static and not missing())
    check_options(source, task, init or {})
    report = examine(load_rules("static", only, skip), source)
    misnamed = next((finding.rule for finding in report.errors if finding.rule in MISNAMED), None)
    reason = _why_not_run(source, static) or (misnamed and f"the config names what does not exist, see {misnamed}")
    return report + _dynamic_half(source, init or {}, reason, only, skip)


def check_model(
    make: Any, data: Any = None, *, task: str | None = None, only: Collection[str] = (), skip: Collection[str] = ()
) -> Report:
    """Check a model at hand by running it; for tests.

    make: returns a fresh model each time it is called, or is a model. data: the project's DataModule; without one,
    synthetic rows of the family `task` are used. only, skip: ids of rules.
    """
    from scaffold.check.probing import check_model as run_rules

    check_ids([*only, *skip])
    return run_rules(make, data, task=task, only=only, skip=skip)


def examine(rules: Iterable[Rule], subject: Any) -> Report:
    """Apply rules to a subject, one after the other; one that cannot be checked, or fails itself, says so."""
    report = Report()
    for rule in rules:
        report += _examined(rule, subject)
    return report


def _examined(rule: Rule, subject: Any) -> Report:
    outcomes: list[Finding | NotChecked] = []
    checked: tuple[str, ...] = (rule.id,)
    try:
        if reason := rule.applies(subject):
            return Report(not_checked=(rule.not_checked(reason),))
        outcomes.extend(rule.find(subject))
    except Exception as error:
        outcomes.append(rule.failed(error))
        checked = ()
    findings = tuple(one for one in outcomes if isinstance(one, Finding))
    return Report(findings, tuple(one for one in outcomes if isinstance(one, NotChecked)), checked)


def missing() -> list[str]:
    """Return the packages that running a model needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def check_ids(ids: Iterable[str]) -> None:
    """Raise UsageError for an id that no rule has."""
    from difflib import get_close_matches

    known = [name for half in HALVES for name in rule_ids(half)]
    for name in ids:
        if name not in known:
            near = get_close_matches(name.lower().replace("_", "-"), known, n=1)
            raise UsageError(
                f"there is no rule {shown(name)}",
                because=f"there are {len(known)} rules, such as {listed(EXAMPLES)}",
                fix=f"did you mean {near[0]}?" if near else "`scaffold check --list-rules` shows them all",
                code="usage.rule",
            )


def check_options(source: Source, task: str | None, init: Mapping[str, Any]) -> None:
    """Raise UsageError for a task or an argument that does not exist, and for either of them with a project."""
    if not source.is_project:
        named_family(source.code, task)
        if source.model:
            check_arguments(source.code, source.model, init)
    elif task or init:
        raise UsageError(
            "a project takes neither --task nor --init",
            because="its own task and config say what the model is and is built with",
            fix="leave them out, or name a class: scaffold check model.py:MyModel --task sequence",
            code="usage.option",
        )


def _dynamic_half(
    source: Source, init: Mapping[str, Any], reason: str | None, only: Collection[str], skip: Collection[str]
) -> Report:
    wanted = [name for name in rule_ids("dynamic") if (not only or name in only) and name not in skip]
    if reason or not wanted:
        rules = f"{counted(len(wanted), 'rule')} that run{'s' if len(wanted) == 1 else ''} the model"
        left_out = (NotChecked("dynamic", f"{reason}, so that {rules} {'is' if len(wanted) == 1 else 'are'} left out"),)
        return Report(not_checked=left_out if wanted else ())
    from scaffold.check.probing import check_source

    return check_source(source, init=init, only=only, skip=skip)


def _why_not_run(source: Source, static: bool) -> str | None:
    """Return why the model is not run: nobody wants it, something is missing, or it cannot even be loaded."""
    if static:
        return "--static asks for the code alone"
    if absent := missing():
        return f"{' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed"
    broken = [module.place for module in source.code.modules if module.error]
    if source.is_project and isinstance(source.config, Exception):
        return "the config does not compose"
    return f"{broken[0]} is not valid Python" if broken else None

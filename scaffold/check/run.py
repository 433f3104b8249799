"""The check from end to end: both halves over a project, over a lone class, or over a model at hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scaffold.check.arguments import check_arguments
from scaffold.check.families import named_family
from scaffold.check.finding import AfterCrash, Finding, NotChecked, Report, counted
from scaffold.check.rule import HALVES, Rule, load_rules, rule_ids
from scaffold.check.source import EXAMPLE, Source, experiments, open_source
from scaffold.errors import UsageError, listed, nearest, shown

SOME_RULES = ("hidden-state", "output-shape", "padding")
UNMADE = ("unknown-target", "unknown-argument", "missing-value", "interpolation")  # why a model cannot be made
STUB = "stub"
NEEDED = ("torch", "lightning", "transformers")


def check_path(
    path: str | Path = ".",
    *,
    task: str | None = None,
    init: Mapping[str, Any] | None = None,
    static: bool = False,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    overrides: Sequence[str] = (),
) -> Report:
    """Check the project in a folder, or a class given as `file.py:ClassName`.

    overrides: of the project's config, such as `experiment=finetune`; without them, the config of every experiment is
    read too. task, init: the family of a lone class, and arguments of its constructor. static: leave out what runs the
    model. only, skip: ids of rules.

    Errors: UsageError for a path, a task or a rule that does not exist.
    """
    check_ids([*only, *skip])
    source = open_source(path, task, imports=not static and not missing(), overrides=tuple(overrides))
    check_options(source, task, init or {}, overrides)
    rules = load_rules("static", only, skip)
    report = examine(rules, source)
    told = [finding for finding in report.errors if finding.rule in (*UNMADE, STUB)]
    report += _of_experiments([rule for rule in rules if rule.composed], source, report)
    wanted = [name for name in rule_ids("dynamic") if (not only or name in only) and name not in skip]
    if not wanted:
        return report
    if reason := _why_not_run(source, static):
        return report + _left_out(wanted, reason)
    return report + _dynamic_half(source, init or {}, wanted, told)


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


def _of_experiments(rules: Iterable[Rule], source: Source, default: Report) -> Report:
    """Apply rules to the config of each experiment, and return what the default config does not have."""
    report, rules = Report(), list(rules)
    for one in experiments(source) if rules else ():
        found = examine(rules, one)
        new = [finding for finding in found.findings if finding not in default.findings]
        left_out = [item for item in found.not_checked if item not in default.not_checked]
        beside = f"with experiment={one.experiment}"
        report += Report(
            tuple(replace(finding, message=f"{finding.message}, {beside}") for finding in new),
            tuple(replace(item, reason=f"{item.reason}, {beside}") for item in left_out),
        )
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
    known = [name for half in HALVES for name in rule_ids(half)]
    for name in ids:
        if name not in known:
            near = nearest(name.lower().replace("_", "-"), known)
            raise UsageError(
                f"there is no rule {shown(name)}",
                because=f"there are {len(known)} rules, such as {listed(SOME_RULES)}",
                fix=f"did you mean {near}?" if near else "`scaffold check --list-rules` shows them all",
                code="usage.rule",
            )


def check_options(source: Source, task: str | None, init: Mapping[str, Any], overrides: Sequence[str] = ()) -> None:
    """Raise UsageError for a task or an argument that does not exist, and for what does not go with the path."""
    if not source.is_project:
        if overrides:
            raise UsageError(
                f"a lone class takes no {shown(overrides[0])}",
                because="overrides are for the config of a project, and there is none around it",
                fix=f"give its constructor an argument: --init {overrides[0]}",
                code="usage.option",
            )
        named_family(source.code, task)
        if source.model:
            check_arguments(source.code, source.model, init)
    elif task or init:
        raise UsageError(
            "a project takes neither --task nor --init",
            because="its own task and config say what the model is and is built with",
            fix=f"leave them out, or name a class: {EXAMPLE}",
            code="usage.option",
        )


def _left_out(rules: list[str], reason: str) -> Report:
    told = f"{counted(len(rules), 'rule')} that run{'s' if len(rules) == 1 else ''} the model"
    verb = "is" if len(rules) == 1 else "are"
    return Report(not_checked=(NotChecked("dynamic", f"{reason}, so that {told} {verb} left out"),))


def _dynamic_half(source: Source, init: Mapping[str, Any], rules: list[str], told: list[Finding]) -> Report:
    """Run the model. told: what the static rules found that ends in a crash, which need not be said once more."""
    from scaffold.check.probing import check_source

    report = check_source(source, init=init, only=rules)
    unmade = [finding.rule for finding in told if finding.rule in UNMADE]
    if unmade and not report.made:
        return _left_out(rules, f"the model cannot be made from the config, see {unmade[0]}")
    for crash in (one for one in report.findings if one.rule == "crash"):
        if rule := _reason(source, told, crash):
            report = _without(report, crash, f"the model does not run: see {rule}")
    return report


def _reason(source: Source, told: list[Finding], crash: Finding) -> str | None:
    """Return the rule that has said why the model crashes: at the same line, or of a stub that the line is in."""
    lines = {crash.line, *_functions_around(source, crash)}
    return next((one.rule for one in told if one.file == crash.file and one.line in lines), None)


def _functions_around(source: Source, crash: Finding) -> Iterator[int]:
    """Yield the first line of each function that a crash lies in."""
    modules = [module for module in source.modules if module.place == crash.file]
    for function in (function for module in modules for function in module.functions()):
        if function.lineno <= (crash.line or 0) <= (function.end_lineno or 0):
            yield function.lineno


def _without(report: Report, crash: Finding, reason: str) -> Report:
    """Return the report without a crash; reason: what is said of the rules that it kept from running."""
    left_out = (
        replace(one, reason=reason) if isinstance(one.reason, AfterCrash) else one for one in report.not_checked
    )
    findings = tuple(one for one in report.findings if one is not crash)
    return replace(report, findings=findings, not_checked=tuple(left_out))


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

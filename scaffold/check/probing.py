"""The dynamic half: opens a probe and applies the rules to it, one after the other."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaffold.check.code import typed
from scaffold.check.finding import AfterCrash, Finding, NotChecked, Report
from scaffold.check.probe_crash import Crash, Crashed, Unmeasured
from scaffold.check.probe_init import Unknown
from scaffold.check.rule import Rule, load_rule, load_rules

if TYPE_CHECKING:
    from scaffold.check.probe import Probe
    from scaffold.check.source import Source

SMALL = 10_000_000  # parameters


def check_model(
    make: Any, data: Any = None, *, task: str | None = None, only: Collection[str] = (), skip: Collection[str] = ()
) -> Report:
    """Apply the rules to a model at hand; a method that is not written yet raises its own error.

    make: returns a new model, or is one. data: the project's DataModule, else rows of the family `task` are made up.
    """
    from scaffold.check.probe_open import probe_model

    rules = load_rules("dynamic", only, skip)
    with undisturbed():
        try:
            probe = probe_model(make, data, task=task)
        except Crashed as failed:
            if failed.crash.is_stub:
                raise failed.crash.error from None
            return crashed(rules, failed.crash)
        if (stub := probe.stub) is not None:
            raise stub.error
        return apply(rules, probe)


def check_source(
    source: Source, *, init: Mapping[str, Any], only: Collection[str] = (), skip: Collection[str] = ()
) -> Report:
    """Apply the rules to a project, or to a class in a file with these arguments of its constructor."""
    from scaffold.check.probe_open import importing_from

    rules = load_rules("dynamic", only, skip)
    folder = source.root if source.is_project else Path.cwd()
    with undisturbed(), importing_from(source.root), chdir(folder):
        report = _checked(source, init, rules)
    found = tuple(replace(one, file=one.file and typed(folder / one.file)) for one in report.findings)
    return replace(report, findings=found)


def _checked(source: Source, init: Mapping[str, Any], rules: list[Rule]) -> Report:
    try:
        return apply(rules, _opened(source, init))
    except Crashed as failed:
        return crashed(rules, failed.crash)
    except Unknown as missing:
        return crashed(rules, Crash("__init__", missing))


def _opened(source: Source, init: Mapping[str, Any]) -> Probe:
    from scaffold.check.probe_open import probe_class
    from scaffold.check.probe_project import probe_project

    if source.file is None:
        return probe_project(source.settings.composed)
    assert source.target is not None
    assert source.task is not None
    return probe_class(source.file, source.root, source.target, source.task, init)


def apply(rules: list[Rule], probe: Probe) -> Report:
    """Apply each rule to a probe; what the person's code fails in is left out of the rule, and said."""
    report = Report(made=probe.is_made)
    with _enough_threads(probe):
        for rule in rules:
            report += _applied(rule, probe)
    return report


@contextmanager
def _enough_threads(probe: Probe) -> Iterator[None]:
    """Run a small model on one thread: several would wait for each other longer than they calculate."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1 if probe.is_made and probe.size <= SMALL else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def crashed(rules: list[Rule], crash: Crash) -> Report:
    """Return the report on a model that cannot even be made: one finding, and all that depends on it."""
    others = [rule for rule in rules if rule.id != "crash"]
    found = crash_finding(crash) if len(others) < len(rules) else None
    left_out = tuple(rule.not_checked(AfterCrash(f"the model cannot be made: {crash}")) for rule in others)
    return Report((found,) if found else (), left_out, ("crash",) if found else (), made=False)


def crash_finding(crash: Crash) -> Finding:
    """Return a crash as a finding, at the innermost line that is the person's own."""
    file, line, function = crash.place
    return load_rule("dynamic", "crash").finding(
        str(crash), measured=function or None, file=file, line=line, fix=crash.fix or None
    )


def _applied(rule: Rule, probe: Probe) -> Report:
    found: list[Finding] = []
    left_out: list[NotChecked] = []
    try:
        if reason := rule.applies(probe):
            return Report(not_checked=(rule.not_checked(reason),))
        for outcome in rule.find(probe):
            if isinstance(outcome, Finding):
                found.append(outcome)
            else:
                left_out.append(outcome)
    except (Crashed, Unmeasured) as failed:
        left_out.append(rule.not_checked(str(failed)))
    except Exception as error:  # a mistake of this program must not hide what the other rules find
        return Report(tuple(found), (*left_out, rule.failed(error)))
    return Report(tuple(found), tuple(left_out), (rule.id,))


@contextmanager
def undisturbed() -> Iterator[None]:
    """Keep what the person's code prints apart from the report, and warnings and transformers' reports out of it."""
    from scaffold.runtime.encoders.quiet import quiet

    with redirect_stdout(sys.stderr), warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        yield

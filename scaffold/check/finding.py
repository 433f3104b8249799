"""What a check found, what it could not check, and both as text, as JSON and as annotations of GitHub."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from scaffold.errors import shown

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
FOUND = 10  # the exit code of a command that worked and found something
FAULT = 1  # the exit code of a command that failed by a fault of its own


class Inapplicable(str):
    """A reason that lies in the kind of what is checked: there is nothing to check, and nobody need do anything."""


class AfterCrash(str):
    """A reason that lies in a crash, which is a finding of its own."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: what was seen and where, why it matters, and how to mend it.

    measured: the number, shape or names that were seen, as plain data; None where the message says it all.
    """

    rule: str
    severity: Severity
    message: str
    file: str | None = None
    line: int | None = None
    measured: Any = None
    why: str = ""
    fix: str = ""

    @property
    def place(self) -> str:
        """Return `file:line` as far as it is known."""
        if self.file is None:
            return "the model"
        return self.file if self.line is None else f"{self.file}:{self.line}"

    @property
    def headline(self) -> str:
        """Return where, how bad and what, in one line."""
        seen = "" if self.measured is None else f" (measured: {worded(self.measured)})"
        return f"{self.place}: {self.severity} [{self.rule}] {self.message}{seen}"

    @property
    def advice(self) -> str:
        """Return why it matters and how to mend it, below the headline."""
        return "\n".join(f"  {name}: {text}" for name, text in (("why", self.why), ("fix", self.fix)) if text)

    def __str__(self) -> str:
        return f"{self.headline}\n{self.advice}"


@dataclass(frozen=True)
class NotChecked:
    """A rule, or a part of what it covers, that could not be checked, and the reason: it is not a pass.

    until: the rule that checks the same in another way; where that one ran, nothing is left open. fault: whether the
    rule itself failed.
    """

    rule: str
    reason: str
    until: str = ""
    fault: bool = False

    def __str__(self) -> str:
        return f"{self.rule}: {self.reason}"


@dataclass(frozen=True)
class Report:
    """The outcome of a check; `str` of it is what a person reads.

    checked: the ids of the rules that ran. made: whether the model that was to be run could be made.
    """

    findings: tuple[Finding, ...] = ()
    not_checked: tuple[NotChecked, ...] = ()
    checked: tuple[str, ...] = ()
    made: bool = True

    def __add__(self, other: Report) -> Report:
        checked = self.checked + other.checked
        left_out = tuple(item for item in self.not_checked + other.not_checked if item.until not in checked)
        return Report(self.findings + other.findings, left_out, checked, self.made and other.made)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Return the findings that keep the model from training as it should."""
        return self.of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Return the findings that are probably not meant."""
        return self.of("warning")

    @property
    def failed(self) -> tuple[str, ...]:
        """Return the rules that failed themselves."""
        return tuple(dict.fromkeys(item.rule for item in self.not_checked if item.fault))

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """Return the findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    def exit_code(self, *, strict: bool = False) -> int:
        """Return the exit code: 10 where there are errors, or with `strict` warnings; else 1 where a rule failed."""
        if self.errors or (strict and self.warnings):
            return FOUND
        return FAULT if self.failed else 0

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "findings": [asdict(finding) | {"measured": plain(finding.measured)} for finding in self.ordered()],
            "not_checked": [{"rule": item.rule, "reason": item.reason} for item in self.not_checked],
            "checked": list(self.checked),
            "failed": list(self.failed),
        }

    def ordered(self) -> list[Finding]:
        """Return the findings file by file, in the order of their lines; those without a place come last."""
        return sorted(
            self.findings,
            key=lambda one: (one.file is None, one.file or "", one.line or 0, SEVERITIES.index(one.severity)),
        )

    def annotations(self) -> Iterator[str]:
        """Yield one workflow command of GitHub Actions per finding, which it shows beside the line."""
        for finding in self.ordered():
            kind = "notice" if finding.severity == "note" else finding.severity
            places = {"file": finding.file, "line": finding.line, "title": f"scaffold check: {finding.rule}"}
            fields = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in places.items() if value is not None)
            text = "\n".join(part for part in (finding.message, finding.why, finding.fix) if part)
            yield f"::{kind} {fields}::{_escaped(text)}"

    def summary(self) -> str:
        """Return the closing line: how many findings of each severity, and of how many rules."""
        found = [counted(len(self.of(severity)), severity) for severity in SEVERITIES if self.of(severity)]
        left_out = sum(not isinstance(item.reason, Inapplicable) for item in self.not_checked)
        parts = [
            f"{', '.join(found) or 'nothing found'} by {counted(len(self.checked), 'rule')}",
            *([f"{counted(left_out, 'thing')} not checked"] if left_out else []),
            *([f"{counted(len(self.failed), 'rule')} failed {_self(len(self.failed))}"] if self.failed else []),
        ]
        return "; ".join(parts)

    def __str__(self) -> str:
        parts = []
        for _, group in groupby(self.ordered(), key=lambda one: (one.file, one.rule, one.advice)):
            alike = list(group)
            parts.append("\n".join([*(one.headline for one in alike), alike[0].advice]))
        if self.not_checked:
            parts.append("\n".join(["not checked:", *(f"  {line}" for line in self._left_out())]))
        return "\n\n".join([*parts, self.summary()])

    def _left_out(self) -> Iterator[str]:
        """Yield each reason once, with the rules that share it; what has no remedy of its own is one line."""
        kinds = {AfterCrash: "not run because of the crash", Inapplicable: "does not apply here"}
        for reason in dict.fromkeys(item.reason for item in self.not_checked if type(item.reason) not in kinds):
            yield f"{_rules(item for item in self.not_checked if item.reason == reason)}: {reason}"
        for kind, text in kinds.items():
            if rules := _rules(item for item in self.not_checked if isinstance(item.reason, kind)):
                yield f"{text}: {rules}"


def _rules(items: Iterable[NotChecked]) -> str:
    return ", ".join(dict.fromkeys(item.rule for item in items))


def _self(number: int) -> str:
    return "itself" if number == 1 else "themselves"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def worded(measured: Any) -> str:
    """Return a measured value as a person reads it: four digits, names without quotes."""
    if isinstance(measured, float):
        return f"{measured:.4g}"
    if isinstance(measured, dict):
        return ", ".join(f"{key} {worded(value)}" for key, value in measured.items())
    if isinstance(measured, list | set | frozenset):
        return ", ".join(worded(value) for value in measured)
    return measured if isinstance(measured, str) and measured.isprintable() else shown(measured)


def plain(measured: Any) -> Any:
    """Return a measured value as JSON can hold it."""
    if isinstance(measured, dict):
        return {str(key): plain(value) for key, value in measured.items()}
    if isinstance(measured, Sequence | set | frozenset) and not isinstance(measured, str | bytes):
        return [plain(value) for value in measured]
    is_number = isinstance(measured, int | float) and math.isfinite(measured)
    return measured if is_number or measured is None or isinstance(measured, str | bool) else str(measured)


def _escaped(value: object, further: str = "") -> str:
    text = str(value).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in further:
        text = text.replace(character, f"%{ord(character):02X}")
    return text

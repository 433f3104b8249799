"""A rule, and the two folders of them: a file `static/hidden_state.py` or `dynamic/row_order.py` is a rule.

The file is read by `scaffold check --list-rules` too, which must be quick: it imports torch inside its functions only,
or leaves that to the methods of the subject it is given.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from scaffold.check.finding import Finding, NotChecked, Severity

Half = Literal["static", "dynamic"]
HALVES: tuple[Half, ...] = ("static", "dynamic")


def always(_subject: Any) -> str | None:
    """Say that a rule can be checked on everything."""
    return None


@dataclass(frozen=True)
class Rule:
    """One kind of mistake: what is wrong, why that matters, what to do, and how it is found.

    title: one sentence that says what is wrong. example, instead: a complete file that has the mistake, and the same
    file without it; its model class is called Model. task: the family of that class, as `--task` names it; None where
    the example is a file of a project, which stands at `file`.
    find: yields what is wrong with a subject, by `RULE.finding(…)`, and what it had to leave out, by
    `RULE.not_checked(…)`. A static rule gets a `Source`, a dynamic one the model and its batches. applies: None, or the
    reason why the rule cannot be checked on this subject. composed: whether it is about the composed config, so that
    each experiment's is looked at too.
    """

    id: str
    severity: Severity
    title: str
    why: str
    fix: str
    example: str
    instead: str
    find: Callable[[Any], Iterable[Finding | NotChecked]]
    applies: Callable[[Any], str | None] = always
    task: str | None = "sequence"
    file: str = "mymodel/model.py"
    composed: bool = False

    def finding(
        self,
        message: str,
        *,
        measured: Any = None,
        file: str | None = None,
        line: int | None = None,
        severity: Severity | None = None,
        fix: str | None = None,
    ) -> Finding:
        """Return a finding of this rule; severity and fix are the rule's own unless given."""
        return Finding(self.id, severity or self.severity, message, file, line, measured, self.why, fix or self.fix)

    def not_checked(self, reason: str, until: str = "") -> NotChecked:
        """Return that a part of what this rule covers could not be checked; until: see `NotChecked`."""
        return NotChecked(self.id, reason, until)

    def failed(self, error: Exception) -> NotChecked:
        """Return that the rule itself failed: a fault of ours must neither end the check nor count as a pass."""
        reason = f"the rule itself failed, which is no fault of the model: {type(error).__name__}: {error}"
        return NotChecked(self.id, reason[:200], fault=True)


def rule_ids(half: Half) -> list[str]:
    """Return the ids of the rules of a half, from the names of their files alone."""
    folder = Path(__file__).parent / half
    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules([str(folder)]) if module.name[0] != "_"
    )


def load_rule(half: Half, rule_id: str) -> Rule:
    """Return a rule by its id."""
    rule: Rule = import_module(f"scaffold.check.{half}.{rule_id.replace('-', '_')}").RULE
    return rule


def load_rules(half: Half, only: Iterable[str] = (), skip: Iterable[str] = ()) -> list[Rule]:
    """Return the rules of a half: all of them, or `only` some, without those to `skip`."""
    only, skip = set(only), set(skip)
    chosen = [name for name in rule_ids(half) if (not only or name in only) and name not in skip]
    return [load_rule(half, name) for name in chosen]

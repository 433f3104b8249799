"""What a template asks: each question has a type, a default, and reads an answer or says why it cannot."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from scaffold.errors import UsageError, Where, nearest, shown
from scaffold.project import names, spelling

Answer = str | bool
Kind = Literal["str", "bool", "choice", "identifier"]
KINDS = get_args(Kind)
WORD = re.compile(r"[A-Za-z0-9._/+:@-]*")
PLACEHOLDER = re.compile(r"\{\{ *(\w+) *\}\}")
TRUE = frozenset({"true", "yes", "on", "1", "y"})
FALSE = frozenset({"false", "no", "off", "0", "n"})


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a template; free text may hold any character, other text is one word."""

    name: str
    kind: Kind
    default: Answer
    help: str = ""
    choices: tuple[str, ...] = ()
    free_text: bool = False

    def read(self, value: object) -> Answer:
        """Return a value as a valid answer, or raise UsageError with what was expected."""
        if self.kind == "bool":
            return self._read_bool(value)
        if not isinstance(value, str):
            raise self._refused(value, f"expected text, got {type(value).__name__}", f"{self.name}: '{value}'")
        if self.kind == "choice":
            return self._read_choice(value)
        if self.kind == "identifier":
            names.check_package(value)
        elif not self.free_text and not WORD.fullmatch(value):
            raise self._refused(value, "allowed are letters, digits and ._/+:@-", f"--set {self.name}=<one word>")
        spelling.check_writable(self.name, value)
        return value

    def default_for(self, known: Mapping[str, Answer]) -> Answer:
        """Return the default, its `{{ project }}` and the like filled in."""
        return self.default if isinstance(self.default, bool) else filled(self.default, known)

    def _read_bool(self, value: object) -> bool:
        word = str(value).lower()
        if word not in TRUE | FALSE:
            raise self._refused(value, "expected true or false", f"--set {self.name}=true")
        return word in TRUE

    def _read_choice(self, value: str) -> str:
        if value in self.choices:
            return value
        near = nearest(value, self.choices) or self.default
        raise self._refused(value, f"expected one of {', '.join(self.choices)}", f"--set {self.name}={near}")

    def _refused(self, value: object, because: str, fix: str) -> UsageError:
        return UsageError(
            f"{shown(value)} is no answer to {self.name!r}",
            because=because,
            fix=fix,
            where=Where(key=self.name),
            code="usage.answer",
        )


def filled(text: str, known: Mapping[str, Any]) -> str:
    """Return a text with its `{{ name }}` placeholders replaced; an unknown one raises KeyError."""
    return PLACEHOLDER.sub(lambda match: str(known[match[1]]), text)


def read_answers(questions: Mapping[str, Question], given: Mapping[str, object]) -> dict[str, Answer]:
    """Return the answers that were given, valid and typed; every problem with them is reported at once."""
    answers: dict[str, Answer] = {}
    problems: list[UsageError] = []
    for name, value in given.items():
        try:
            answers[name] = known_question(questions, name).read(value)
        except UsageError as problem:
            problems.append(problem)
    if len(problems) > 1:
        raise UsageError(
            f"{len(problems)} answers cannot be used",
            fix="mend each of them; `scaffold show` lists the questions of a template",
            code="usage.answer",
        ).with_details([f"{problem.what}: {problem.because}" for problem in problems])
    if problems:
        raise problems[0]
    return answers


def known_question(questions: Mapping[str, Question], name: str) -> Question:
    """Return the question of that name, or raise UsageError with the nearest one."""
    if name in questions:
        return questions[name]
    near = nearest(name, questions)
    raise UsageError(
        f"the template asks no question {shown(name)}",
        because=f"it asks {', '.join(questions)}" if questions else "it asks none",
        fix=f"did you mean {near!r}?" if near else "leave it out",
        where=Where(key=name),
        code="usage.question",
    )


def is_met(condition: str, choices: Mapping[str, str]) -> bool:
    """Return whether an answer is one of those that a condition names: `engine=all,torch`."""
    name, _, values = condition.partition("=")
    return choices.get(name) in values.split(",")

"""Asks a person at a terminal for what the command line leaves open."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from scaffold.errors import UsageError
from scaffold.project import catalog, names
from scaffold.project.catalog import Template
from scaffold.project.questions import Answer, Question
from scaffold.project.spec import ProjectSpec, complete, known_names


def ask_template() -> str:
    """Ask which template to use."""
    known = catalog.template_names()
    return str(click.prompt("Template", type=click.Choice(known), default=known[0] if len(known) == 1 else None))


def ask_name() -> str:
    """Ask for the name of the project, until it is one."""
    return str(click.prompt("Name of the project", value_proc=checked(lambda name: names.derive(name).project)))


def ask_questions(template: Template, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Ask each question of a template that has no answer yet, with its default."""
    defaults = known_names(template, names.derive(name))
    asked = {
        key: ask_question(question, question.default_for(defaults))
        for key, question in template.questions.items()
        if key not in given
    }
    return {**given, **asked}


def ask_question(question: Question, default: Answer) -> Answer:
    """Ask one question, until the answer is valid."""
    text = question.help or question.name
    if question.kind == "bool":
        return click.confirm(text, default=bool(default))
    if question.choices:
        text += f" ({', '.join(question.choices)})"
    answer: Answer = click.prompt(text, default=str(default), value_proc=checked(question.read))
    return answer


def checked(read: Callable[[str], Answer]) -> Callable[[str], Any]:
    """Return a reader whose refusal makes click ask again."""

    def parse(value: str) -> Answer:
        try:
            return read(value)
        except UsageError as error:
            raise click.UsageError(f"{error.what}: {error.because}") from error

    return parse


def equivalent_command(spec: ProjectSpec, unasked: Sequence[str]) -> str:
    """Return the one line that writes the same project without a question; unasked: its further words."""
    defaults = complete(spec.template, names.derive(spec.names.project), {})
    words = ["scaffold", "new", spec.template.name, spec.names.project]
    for key, answer in spec.answers.items():
        if answer != defaults[key]:
            words += ["--set", f"{key}={str(answer).lower() if isinstance(answer, bool) else answer}"]
    return shlex.join([*words, *unasked])

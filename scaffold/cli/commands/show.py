"""`scaffold show`: what a template asks, and what it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import complete_template, debug_option, json_option

if TYPE_CHECKING:
    from scaffold.project.create import Created
    from scaffold.project.questions import Question
    from scaffold.project.spec import ProjectSpec


@click.command()
@click.argument("template", shell_complete=complete_template)
@json_option
@debug_option
def command(template: str, as_json: bool) -> None:
    """Show a template's questions, and the files that it writes."""
    from scaffold.project import catalog
    from scaffold.project.create import rehearse
    from scaffold.project.spec import build

    spec = build(catalog.find(template), "mymodel", {})
    written = rehearse(spec)
    if as_json:
        console.data(as_data(spec, written))
    else:
        display(spec, written)


def display(spec: ProjectSpec, written: Created) -> None:
    """Print a template for a person."""
    console.line(f"{spec.template.name} {spec.template.version}")
    console.line(f"  {spec.template.summary}")
    if spec.template.questions:
        console.line("\nQuestions: answer with --set NAME=VALUE")
        console.columns(described(question, spec) for question in spec.template.questions.values())
    console.line(f"\nFiles of a project called {spec.names.project}")
    console.tree((file.path, file.purpose) for file in written.files)


def described(question: Question, spec: ProjectSpec) -> tuple[str, str, str, str]:
    """Return the cells of one question: name, type, default, help with the choices."""
    default = spec.answers[question.name]
    kind = {"str": "text", "bool": "true/false"}.get(question.kind, question.kind)
    word = str(default).lower() if isinstance(default, bool) else default or "(empty)"
    choices = f" One of: {', '.join(question.choices)}." if question.choices else ""
    return question.name, kind, word, question.help + choices


def as_data(spec: ProjectSpec, written: Created) -> dict[str, Any]:
    """Return a template as plain data."""
    from dataclasses import asdict

    return {
        "name": spec.template.name,
        "version": spec.template.version,
        "summary": spec.template.summary,
        "edit": written.edit,
        "questions": [
            asdict(question) | {"default": spec.answers[question.name]} for question in spec.template.questions.values()
        ],
        "files": [asdict(file) for file in written.files],
    }

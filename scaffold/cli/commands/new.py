"""`scaffold new`: writes a project."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import complete_template, debug_option, json_option
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from scaffold.project.create import Created
    from scaffold.project.spec import ProjectSpec


@click.command()
@click.argument("template", required=False, shell_complete=complete_template)
@click.argument("name", required=False)
@click.option("--into", type=click.Path(), default=".", metavar="DIR", help="The folder that gets the project.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Answer a question of the template.")
@click.option("--answers", type=click.Path(), metavar="FILE", help="Answer questions from a YAML file.")
@click.option("--from", "source", metavar="FILE:CLASS", help="Copy a model class of your own into the project.")
@click.option("--bare", is_flag=True, help="Write the methods of the model as stubs, without a working baseline.")
@click.option("--no-git", is_flag=True, help="Make no repository and no first commit.")
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@json_option
@debug_option
def command(
    template: str | None,
    name: str | None,
    into: str,
    settings: tuple[str, ...],
    answers: str | None,
    source: str | None,
    bare: bool,
    no_git: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write a project called NAME from TEMPLATE.

    Asks for what is missing when it runs at a terminal; `scaffold list` shows the templates.
    """
    from pathlib import Path

    from scaffold.cli.answers import given_answers
    from scaffold.project import bring
    from scaffold.project.create import create
    from scaffold.project.workshop import undisturbed

    given = given_answers(settings, Path(answers) if answers else None)
    spec, asked = specified(template, name, given, bare=bare, may_ask=not as_json)
    if asked:
        console.line(f"\nThe same without questions:\n  {repeated(spec, into, bare, no_git, dry_run)}\n")
    brought = bring.read(source) if source else None
    edits = bring.edits(brought, spec) if brought else None
    misfits = bring.misfits(brought, spec) if brought else []
    created = create(spec, Path(into) / spec.names.project, git=not no_git, dry_run=dry_run, edits=edits)
    with undisturbed():  # the project is there: a signal could only spoil the announcement
        if as_json:
            console.data(as_data(spec, created, dry_run) | ({"misfits": misfits} if source else {}))
        else:
            announce(spec, created, dry_run)
            tell_misfits(misfits)


def specified(
    template: str | None, name: str | None, given: dict[str, Any], *, bare: bool, may_ask: bool
) -> tuple[ProjectSpec, bool]:
    """Return what is to be written, and whether a person was asked for a part of it."""
    from scaffold.cli import prompts
    from scaffold.project import catalog, names
    from scaffold.project.spec import build

    open_places = [place for place, value in (("TEMPLATE", template), ("NAME", name)) if value is None]
    if open_places and not (may_ask and console.is_interactive()):
        raise missing(open_places)
    chosen = catalog.find(template if template is not None else prompts.ask_template())
    project = name if name is not None else prompts.ask_name()
    names.check_project(project)
    if open_places:
        given = prompts.ask_questions(chosen, project, given)
    return build(chosen, project, given, bare=bare), bool(open_places)


def missing(places: list[str]) -> UsageError:
    """Return the error of a command line that leaves a place open where nobody can be asked."""
    return UsageError(
        f"{' and '.join(places)} {'is' if len(places) == 1 else 'are'} missing",
        because="there is no terminal to ask at",
        fix="scaffold new TEMPLATE NAME (`scaffold list` shows the templates)",
        code="usage.missing",
    )


def repeated(spec: ProjectSpec, into: str, bare: bool, no_git: bool, dry_run: bool) -> str:
    """Return the command line that needs no question."""
    from scaffold.cli.prompts import equivalent_command

    return equivalent_command(spec, into, {"--bare": bare, "--no-git": no_git, "--dry-run": dry_run})


def announce(spec: ProjectSpec, created: Created, dry_run: bool) -> None:
    """Say where the project is, and what to do next."""
    if dry_run:
        console.line(f"Would write {created.path}:")
        console.tree((file.path, file.purpose) for file in created.files)
        return
    commit = {"committed": "in a first commit", "off": "without a repository"}.get(
        created.versioning, f"without a repository: {created.versioning}"
    )
    console.line(f"Wrote {created.path} from {spec.template.name}: {len(created.files)} files, {commit}.\n")
    for step in next_steps(created):
        console.line(f"  {step}")
    if created.edit:
        console.line(f"\nThen make it yours: {created.edit}")


def tell_misfits(misfits: list[str]) -> None:
    """Say what of a class that was brought along does not fit yet."""
    if misfits:
        console.line("\nWhat does not fit yet:")
        for misfit in misfits:
            console.line(f"  - {misfit}")


def next_steps(created: Created) -> list[str]:
    """Return the commands that a person runs next."""
    import shlex
    from pathlib import Path

    folder = created.path.relative_to(Path.cwd()) if created.path.is_relative_to(Path.cwd()) else created.path
    return [f"cd {shlex.quote(str(folder))}", "make train"]


def as_data(spec: ProjectSpec, created: Created, dry_run: bool) -> dict[str, Any]:
    """Return what was written as plain data."""
    from dataclasses import asdict

    return {
        "project": spec.names.project,
        "package": spec.names.package,
        "template": spec.template.name,
        "template_version": spec.template.version,
        "answers": dict(spec.answers),
        "bare": spec.bare,
        "path": str(created.path),
        "written": not dry_run,
        "versioning": created.versioning,
        "files": [asdict(file) for file in created.files],
        "edit": created.edit,
        "next": next_steps(created),
    }

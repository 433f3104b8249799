"""`scaffold new`: writes a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import complete_template, debug_option, json_option
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from scaffold.project.create import Created
    from scaffold.project.spec import ProjectSpec


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `scaffold new`, under click's names for its arguments and options."""

    template: str | None
    name: str | None
    into: str
    settings: tuple[str, ...]
    answers: str | None
    source: str | None
    bare: bool
    no_git: bool
    dry_run: bool
    as_json: bool


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
def command(**given: Any) -> None:
    """Write a project called NAME from TEMPLATE.

    Asks for what is missing when it runs at a terminal; `scaffold list` shows the templates.
    """
    from pathlib import Path

    from scaffold.project.create import create
    from scaffold.project.workshop import undisturbed

    options = Options(**given)
    if options.bare and options.source:
        raise contradictory()
    spec = specified(options)
    edits, misfits = brought(options.source, spec)
    target = Path(options.into) / spec.names.project
    created = create(spec, target, git=not options.no_git, dry_run=options.dry_run, edits=edits)
    with undisturbed():  # the project is there: a signal could only spoil the announcement
        display(spec, created, misfits, options)


def specified(options: Options) -> ProjectSpec:
    """Return what is to be written; a person at a terminal is asked for what the command line leaves open."""
    from scaffold.cli.answers import given_answers
    from scaffold.project import catalog
    from scaffold.project.spec import build

    answers = given_answers(options.settings, options.answers)
    if options.template is None or options.name is None:
        return asked(options, answers)
    return build(catalog.find(options.template), options.name, answers, bare=options.bare)


def asked(options: Options, answers: Mapping[str, Any]) -> ProjectSpec:
    """Ask for what the command line leaves open, and print the one that needs no question."""
    from scaffold.cli import prompts
    from scaffold.project import catalog
    from scaffold.project.spec import build

    if options.as_json or not console.is_interactive():
        raise missing(options)
    template = catalog.find(options.template if options.template is not None else prompts.ask_template())
    name = options.name if options.name is not None else prompts.ask_name()
    spec = build(template, name, prompts.ask_questions(template, name, answers), bare=options.bare)
    console.line(f"\nThe same without questions:\n  {prompts.equivalent_command(spec, unasked(options))}\n")
    return spec


def contradictory() -> UsageError:
    """Return the error of a command line that asks for a model with stubs and for one that is written."""
    return UsageError(
        "--bare and --from cannot both be given",
        because="--bare writes the methods of the model as stubs, --from copies a model that has them",
        fix="leave one of them out",
        code="usage.from",
    )


def missing(options: Options) -> UsageError:
    """Return the error of a command line that leaves a place open where nobody can be asked."""
    places = [place for place, value in (("TEMPLATE", options.template), ("NAME", options.name)) if value is None]
    return UsageError(
        f"{' and '.join(places)} {'is' if len(places) == 1 else 'are'} missing",
        because="there is no terminal to ask at",
        fix="scaffold new TEMPLATE NAME (`scaffold list` shows the templates)",
        code="usage.missing",
    )


def unasked(options: Options) -> list[str]:
    """Return the words of a command line that answer no question of the template."""
    words = ["--into", options.into] if options.into != "." else []
    words += ["--from", options.source] if options.source else []
    flags = {"--bare": options.bare, "--no-git": options.no_git, "--dry-run": options.dry_run}
    return words + [flag for flag, is_set in flags.items() if is_set]


def brought(source: str | None, spec: ProjectSpec) -> tuple[dict[str, str] | None, list[str] | None]:
    """Return the files that a class of the person's own changes, and what of it does not fit yet; without one, None."""
    if not source:
        return None, None
    from scaffold.project import bring

    found = bring.read(source)
    return bring.edits(found, spec), bring.misfits(found, spec)


def display(spec: ProjectSpec, created: Created, misfits: list[str] | None, options: Options) -> None:
    """Print what was written, for a person or for a program; misfits: None where no class was brought along."""
    if options.as_json:
        content = as_data(spec, created, options.dry_run) | {"next": next_steps(created, misfits)}
        console.data(content if misfits is None else content | {"misfits": misfits})
        return
    if options.dry_run:
        preview(created)
    else:
        announce(spec, created, misfits)
    if misfits:
        console.line("\nWhat does not fit yet:")
        for misfit in misfits:
            console.line(f"  - {misfit}")
        console.line("\nMend these, then run `make check`.")


def preview(created: Created) -> None:
    """Show what would be written."""
    console.line(f"Would write {created.path}:")
    console.tree((file.path, file.purpose) for file in created.files)


def announce(spec: ProjectSpec, created: Created, misfits: list[str] | None) -> None:
    """Say where the project is, and what to do next."""
    commit = {"committed": "in a first commit", "off": "without a repository"}.get(
        created.versioning, f"without a repository: {created.versioning}"
    )
    console.line(f"Wrote {created.path} from {spec.template.name}: {len(created.files)} files, {commit}.\n")
    for step in next_steps(created, misfits):
        console.line(f"  {step}")
    if created.edit:
        console.line(f"\nThen make it yours: {created.edit}")


def next_steps(created: Created, misfits: list[str] | None) -> list[str]:
    """Return the commands that a person runs next: none of a Makefile that the project has not."""
    import shlex
    from pathlib import Path

    folder = created.path.relative_to(Path.cwd()) if created.path.is_relative_to(Path.cwd()) else created.path
    has_make = any(file.path == "Makefile" for file in created.files)
    return [f"cd {shlex.quote(str(folder))}", *(["make check" if misfits else "make train"] if has_make else [])]


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
    }

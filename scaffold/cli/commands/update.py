"""`scaffold update`: merges what the template writes today into a project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from scaffold.project.record import Record
    from scaffold.project.update import Update

CONFLICTS, DUE = 6, 10


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `scaffold update`, under click's names for its arguments and options."""

    project: str
    settings: tuple[str, ...]
    check: bool
    dry_run: bool
    abort: bool
    as_json: bool


@click.command()
@click.argument("project", default=".", type=click.Path(exists=True, file_okay=False))
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change an answer of the project.")
@click.option("--check", is_flag=True, help="Only say whether there is something to update: exit code 10 if so.")
@click.option("--dry-run", is_flag=True, help="Show what would change, and change nothing.")
@click.option("--abort", is_flag=True, help="Take back an update that is not committed, or was interrupted.")
@json_option
@debug_option
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Merge what its template writes today into PROJECT, a folder (this one by default).

    Your changes are kept. What you and the template changed in the same lines becomes a conflict of git's. The result
    is staged and not committed.
    """
    from pathlib import Path

    from scaffold.cli.answers import given_answers
    from scaffold.project.update import abort, find_project, preview, update
    from scaffold.project.workshop import undisturbed

    options = Options(**given)
    refuse_contradiction(options)
    project = find_project(Path(options.project))
    if options.abort:
        display_abort(project, abort(project), options)
        return
    work_out = preview if options.dry_run or options.check else update
    result = work_out(project, given_answers(options.settings, None))
    with undisturbed():  # it is done: a signal could only spoil the announcement
        display(result, options)
    context.exit(exit_code(result, options))


def refuse_contradiction(options: Options) -> None:
    """Raise UsageError for options of which only one can be meant."""
    modes = {"--check": options.check, "--dry-run": options.dry_run, "--abort": options.abort}
    given = [name for name, is_set in modes.items() if is_set]
    if len(given) > 1 or (options.abort and options.settings):
        raise UsageError(
            f"{' and '.join(given) if len(given) > 1 else '--abort and --set'} cannot be given together",
            because="each asks for something else",
            fix="leave one of them out",
            code="usage.update",
        )


def exit_code(result: Update, options: Options) -> int:
    """Return how the command ends: with something left to do, or not."""
    if options.check and result.after:
        return DUE
    return CONFLICTS if result.has_conflicts and not (options.dry_run or options.check) else 0


def display(result: Update, options: Options) -> None:
    """Print what was done, or would be, for a person or for a program."""
    before, after = result.before, result.after
    if options.as_json:
        console.data(as_data(result, options))
    elif after is None:
        console.line(f"{before.project} is up to date: {before.template} {before.template_version}.")
    else:
        console.line(f"{after.project}: {after.template} {step(before, after)}\n")
        console.columns((change.kind, change.path, change.note) for change in result.changes)
        for line in next_steps(result, options):
            console.line(line)


def step(before: Record, after: Record) -> str:
    """Return in a few words where an update leads."""
    if before.template_version != after.template_version:
        return f"{before.template_version} → {after.template_version}"
    words = "with other answers" if before.answers != after.answers else f"by scaffold {after.runtime_version}"
    return f"{after.template_version} {words}"


def next_steps(result: Update, options: Options) -> list[str]:
    """Return what a person is told to do next."""
    if options.check or options.dry_run:
        return ["\nNothing was changed: `scaffold update` does it."]
    if result.has_conflicts:
        steps = ["\nSettle the conflicts, which `git diff` shows, then `git add` and `git commit`."]
    else:
        steps = ["\nNothing is committed: `git diff --staged` shows it, `git commit` keeps it."]
    steps.append("`scaffold update --abort` takes all of it back.")
    if any(change.path == "pyproject.toml" for change in result.changes):
        steps.append("pyproject.toml has changed: `pip install --editable .` installs what it asks for.")
    return steps


def display_abort(project: Path, paths: list[str], options: Options) -> None:
    """Print what was taken back."""
    if options.as_json:
        console.data({"path": str(project), "restored": paths})
    else:
        console.line(f"Took the update back: {len(paths)} files are as they were committed.")


def as_data(result: Update, options: Options) -> dict[str, Any]:
    """Return an update as plain data."""
    from dataclasses import asdict

    return {
        "project": result.before.project,
        "path": str(result.project),
        "template": result.before.template,
        "from": result.before.template_version,
        "to": (result.after or result.before).template_version,
        "due": result.after is not None,
        "written": result.after is not None and not (options.dry_run or options.check),
        "conflicts": result.has_conflicts,
        "changes": [asdict(change) for change in result.changes],
    }

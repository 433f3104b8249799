"""`scaffold check`: finds what is wrong with a model before it is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option
from scaffold.errors import UsageError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scaffold.check import Report


@dataclass(frozen=True, slots=True)
class Options:
    """The command line of `scaffold check`, under click's names for its arguments and options."""

    places: tuple[str, ...]
    task: str | None
    init: tuple[str, ...]
    static: bool
    strict: bool
    only: str
    skip: str
    github: bool
    list_rules: bool
    explain: str | None
    as_json: bool


@click.command()
@click.argument("places", nargs=-1, metavar="[PATH] [KEY=VALUE]...")
@click.option("--task", metavar="TASK", help="The family of a lone class: sequence, tokens, qa, image, …")
@click.option("--init", multiple=True, metavar="KEY=VALUE", help="An argument of a lone class's constructor.")
@click.option("--static", is_flag=True, help="Read code and config only; run nothing.")
@click.option("--strict", is_flag=True, help="Let warnings fail the check, too.")
@click.option("--only", default="", metavar="RULE,…", help="Check these rules only.")
@click.option("--skip", default="", metavar="RULE,…", help="Leave these rules out.")
@click.option("--github", is_flag=True, help="Print annotations for GitHub Actions.")
@click.option("--list-rules", is_flag=True, help="List the rules and check nothing.")
@click.option("--explain", metavar="RULE", help="Say what a rule finds, why, and show an example.")
@json_option
@debug_option
@click.pass_context
def command(context: click.Context, /, **given: Any) -> None:
    """Find what is wrong with a model before it is trained.

    PATH is a project (default: here), or a class anywhere: file.py:ClassName, with its --task. KEY=VALUE changes the
    config of a project, as for `make train`: experiment=finetune. Exit code 10 means errors, or with --strict warnings;
    0 means none; 1 that a rule failed itself, so that the check is not whole.
    """
    options = Options(**given)
    if options.list_rules or options.explain:
        describe(options.explain, options.as_json)
        return
    if options.github and options.as_json:
        raise UsageError(
            "--github and --json cannot be combined", because="each is an output of its own", fix="drop one"
        )
    report = checked(options)
    display(report, options)
    context.exit(report.exit_code(strict=options.strict))


def checked(options: Options) -> Report:
    """Run the rules that the command line chooses."""
    from scaffold.check import check_path
    from scaffold.check.arguments import read_arguments

    path, overrides = placed(options.places)
    return check_path(
        path,
        overrides=overrides,
        task=options.task,
        init=read_arguments(options.init),
        static=options.static,
        only=split(options.only),
        skip=split(options.skip),
    )


def placed(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the path and the overrides among what was given: an override has a `=`, or begins with `~`.

    Errors: UsageError for a second path.
    """
    overrides = [word for word in words if "=" in word or word.startswith("~")]
    paths = [word for word in words if word not in overrides]
    if len(paths) > 1:
        raise UsageError(
            f"{shown(paths[1])} is one path too many",
            because=f"{shown(paths[0])} is checked",
            fix="check one after the other",
            code="usage.path",
        )
    return next(iter(paths), "."), overrides


def split(names: str) -> list[str]:
    """Return the names in a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()]


def display(report: Report, options: Options) -> None:
    """Print a report for a person, for a program, or for GitHub."""
    if options.as_json:
        console.data(report.as_json())
    elif options.github:
        for annotation in report.annotations():
            console.line(annotation)
        console.line(report.summary())
    else:
        console.line(str(report))


def describe(rule_id: str | None, as_json: bool) -> None:
    """Print one rule, or the list of all."""
    from scaffold.check import pages
    from scaffold.check.run import check_ids

    if rule_id is None:
        table = pages.rule_table()
        if as_json:
            console.data({"rules": table})
        else:
            console.columns([tuple(row.values()) for row in table], indent="")
        return
    check_ids([rule_id])
    half, rule = pages.find_rule(rule_id)
    if as_json:
        console.data(pages.as_data(half, rule))
    else:
        console.line(pages.explained(half, rule))

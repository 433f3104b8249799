"""`scaffold check`: finds what is wrong with a model before it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option
from scaffold.errors import UsageError

if TYPE_CHECKING:
    from scaffold.check import Report


@click.command()
@click.argument("path", default=".", metavar="[PATH]")
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
def command(
    context: click.Context,
    path: str,
    task: str | None,
    init: tuple[str, ...],
    static: bool,
    strict: bool,
    only: str,
    skip: str,
    github: bool,
    list_rules: bool,
    explain: str | None,
    as_json: bool,
) -> None:
    """Find what is wrong with a model before it is trained.

    PATH is a project (default: here), or a class anywhere: file.py:ClassName, with its --task. Exit code 10 means
    errors, or with --strict warnings; 0 means none; 1 that a rule failed itself, so that the check is not whole.
    """
    if list_rules or explain:
        describe(explain, as_json)
        return
    if github and as_json:
        raise UsageError(
            "--github and --json cannot be combined", because="each is an output of its own", fix="drop one"
        )
    from scaffold.check import check_path
    from scaffold.check.arguments import read_arguments

    report = check_path(path, task=task, init=read_arguments(init), static=static, only=split(only), skip=split(skip))
    display(report, as_json, github)
    context.exit(report.exit_code(strict=strict))


def split(names: str) -> list[str]:
    """Return the names in a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()]


def display(report: Report, as_json: bool, github: bool) -> None:
    """Print a report for a person, for a program, or for GitHub."""
    if as_json:
        console.data(report.as_json())
    elif github:
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

"""`scaffold list`: which templates there are, or what the project in the current folder registers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option
from scaffold.errors import ArtefactError

if TYPE_CHECKING:
    from scaffold.project.catalog import Template


@click.command()
@click.option("--registered", is_flag=True, help="List what the project in this folder registers by name instead.")
@json_option
@debug_option
@click.pass_context
def command(context: click.Context, registered: bool, as_json: bool) -> None:
    """List the templates."""
    if registered:
        context.exit(list_registered(as_json))
    templates, faults = loaded()
    if as_json:
        console.data(as_data(templates, faults))
    else:
        console.columns([(template.name, template.summary) for template in templates], indent="")
        for fault in faults:
            console.note(str(fault))
    context.exit(faults[0].exit_code if faults else 0)


def loaded() -> tuple[list[Template], list[ArtefactError]]:
    """Return the templates, and what is wrong with those that cannot be read."""
    from scaffold.project.catalog import load, template_names, templates_root

    root = templates_root()
    templates, faults = [], {}
    for name in template_names(root):
        try:
            templates.append(load(root, name))
        except ArtefactError as fault:
            faults[str(fault)] = fault  # once, where it is that of the base of all
    return templates, list(faults.values())


def as_data(templates: list[Template], faults: list[ArtefactError]) -> dict[str, Any]:
    """Return templates as plain data; `errors` are there where some cannot be read."""
    fields = ("name", "version", "summary")
    found = {"templates": [{field: getattr(template, field) for field in fields} for template in templates]}
    return found | ({"errors": [fault.as_json()["error"] for fault in faults]} if faults else {})


def list_registered(as_json: bool) -> int:
    """Let the project's own Python list what it registers, and return how that ended; no library is loaded here."""
    import subprocess
    import sys
    from pathlib import Path

    own = Path(".venv/bin/python")
    words = [str(own) if own.is_file() else sys.executable, "-m", "scaffold.runtime", "registered"]
    found = subprocess.run([*words, *(["--json"] * as_json)], capture_output=True, text=True, check=False)
    if found.stdout:
        console.line(found.stdout.rstrip("\n"))
    if found.stderr:
        console.note(found.stderr.rstrip("\n"))
    return found.returncode

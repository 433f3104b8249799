"""`scaffold list`: which templates there are, or what the project in the current folder registers."""

from __future__ import annotations

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option


@click.command()
@click.option("--registered", is_flag=True, help="List what the project in this folder registers by name instead.")
@json_option
@debug_option
@click.pass_context
def command(context: click.Context, registered: bool, as_json: bool) -> None:
    """List the templates."""
    if registered:
        context.exit(list_registered(as_json))
    from scaffold.project.catalog import all_templates

    templates = list(all_templates())
    if as_json:
        fields = ("name", "version", "summary")
        console.data({"templates": [{field: getattr(template, field) for field in fields} for template in templates]})
    else:
        console.columns([(template.name, template.summary) for template in templates], indent="")


def list_registered(as_json: bool) -> int:
    """Let the project's own Python list what it registers, and return how that ended; no library is loaded here."""
    import subprocess
    import sys
    from pathlib import Path

    own = Path(".venv/bin/python")
    command = [str(own) if own.is_file() else sys.executable, "-m", "scaffold.runtime", "registered"]
    found = subprocess.run([*command, *(["--json"] * as_json)], capture_output=True, text=True, check=False)
    if found.stdout:
        console.line(found.stdout.rstrip("\n"))
    if found.stderr:
        console.note(found.stderr.rstrip("\n"))
    return found.returncode

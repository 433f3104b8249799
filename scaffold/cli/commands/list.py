"""`scaffold list`: which templates there are."""

from __future__ import annotations

import click

from scaffold.cli import console
from scaffold.cli.options import debug_option, json_option


@click.command()
@json_option
@debug_option
def command(as_json: bool) -> None:
    """List the templates."""
    from scaffold.project.catalog import all_templates

    templates = list(all_templates())
    if as_json:
        fields = ("name", "version", "summary")
        console.data({"templates": [{field: getattr(template, field) for field in fields} for template in templates]})
    else:
        console.columns([(template.name, template.summary) for template in templates], indent="")

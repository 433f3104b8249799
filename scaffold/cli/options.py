"""Options that several commands take."""

from __future__ import annotations

import click

COMPLETION_VARIABLE = "_SCAFFOLD_COMPLETE"

debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show where in the code an error comes from."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result, or the error, as JSON.")


def complete_template(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of templates that begin with what was typed."""
    from scaffold.project.catalog import template_names

    return [name for name in template_names() if name.startswith(incomplete)]

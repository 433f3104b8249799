"""`scaffold completion`: the script that makes a shell complete commands, options and templates."""

from __future__ import annotations

import click

from scaffold.cli import console
from scaffold.cli.options import COMPLETION_VARIABLE, debug_option


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands.

    For bash and zsh: eval "$(scaffold completion bash)"; for fish: scaffold completion fish | source.
    """
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None, "click knows all three shells"
    console.line(completion(context.find_root().command, {}, "scaffold", COMPLETION_VARIABLE).source())

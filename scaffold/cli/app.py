"""The group of commands: every module in `scaffold/cli/commands` is one, loaded when it is called."""

from __future__ import annotations

import importlib
import os

import click

import scaffold
from scaffold.cli import commands, console
from scaffold.cli.options import debug_option
from scaffold.errors import UsageError, nearest, shown


class LazyGroup(click.Group):
    """A group whose folder is its registry: `commands/new.py` holds `command`, which is `scaffold new`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names of all commands, sorted."""
        files = os.listdir(commands.__path__[0])  # noqa: PTH208 - pathlib and pkgutil would slow `--help` by a tenth
        return sorted(file[:-3] for file in files if file.endswith(".py") and not file.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command; None where there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{commands.__name__}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names, or say which name is near."""
        known = self.list_commands(ctx)
        if not args[0].startswith("-") and args[0] not in known:
            near = nearest(args[0], known)
            raise UsageError(
                f"there is no command {shown(args[0])}",
                because=f"there are {', '.join(known)}",
                fix=f"did you mean `scaffold {near}`?" if near else "`scaffold --help` explains them",
                code="usage.command",
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(scaffold.__version__, message="scaffold %(version)s")
@debug_option
@click.pass_context
def scaffold_command(context: click.Context) -> None:
    """Write standalone projects for people who build their own model."""
    if context.invoked_subcommand is None:
        console.line(context.get_help())

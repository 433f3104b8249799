"""The one place where errors become text and an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from scaffold.cli import console
from scaffold.cli.app import scaffold_command
from scaffold.cli.options import COMPLETION_VARIABLE
from scaffold.cli.signals import Interrupted, Interruptions
from scaffold.errors import EnvironmentFault, ScaffoldError, UsageError


def guarded(arguments: Sequence[str], interruptions: Interruptions) -> int:
    """Run the command line; print what goes wrong and return the exit code, or raise Interrupted."""
    try:
        exit_code = called(list(arguments))
        console.flush()
    except BrokenPipeError:
        console.discard()  # the reader has seen enough, as `head` has
        return 0
    except (click.Abort, KeyboardInterrupt) as error:
        raise interruptions.first or Interrupted from error
    except Exception as error:
        if interruptions.first:  # a library took it for a failure of its own
            raise interruptions.first from error
        return failed(error, arguments)
    return exit_code


def called(arguments: list[str]) -> int:
    """Run a command, or complete one for a shell; click's own `main` would swallow what tells SIGTERM from Ctrl-C."""
    if instruction := os.environ.get(COMPLETION_VARIABLE):
        from click.shell_completion import shell_complete

        return shell_complete(scaffold_command, {}, "scaffold", COMPLETION_VARIABLE, instruction)
    try:
        with scaffold_command.make_context("scaffold", arguments) as context:
            scaffold_command.invoke(context)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return 0


def failed(error: Exception, arguments: Sequence[str]) -> int:
    """Print an error as `--json` and `--debug` ask for it, and return its exit code."""
    if "--debug" in arguments:
        import traceback

        console.note("".join(traceback.format_exception(error)).rstrip())
    fault = explained(error)
    try:
        console.failure(fault, as_json="--json" in arguments)
    except OSError:
        console.discard()
    return fault.exit_code


def explained(error: Exception) -> ScaffoldError:
    """Return any error as one of ours."""
    if isinstance(error, ScaffoldError):
        return error
    if isinstance(error, click.ClickException):
        return usage(error)
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return EnvironmentFault(
            "the system refused an operation",
            because=f"{place}{error.strerror or error}",
            fix="make room or permission there, or run again with --debug",
        )
    return ScaffoldError(
        "an unexpected error, which is a fault of scaffold",
        because=f"{type(error).__name__}: {error}"[:200],
        fix="run again with --debug, and report what it prints",
        code="unexpected",
    )


def usage(error: click.ClickException) -> UsageError:
    """Return what click says about the command line in our own form."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "scaffold"
    message = error.format_message().partition(" Did you mean")[0].rstrip(".")
    near = getattr(error, "possibilities", None) or []
    fix = f"did you mean {near[0]}?" if near else f"`{command} --help` shows what there is"
    return UsageError(message[:1].lower() + message[1:], because=f"`{command}` cannot be called like that", fix=fix)

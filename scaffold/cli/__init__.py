"""The command `scaffold`: parses, calls `scaffold.project`, prints, and turns every error into an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scaffold.cli.signals import Interrupted, interruptions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with interruptions() as seen:
        try:
            # imported here, so that Ctrl-C is quiet even while modules are loading
            from scaffold.cli.guard import guarded

            return guarded(given, seen)
        except Interrupted as stop:
            from scaffold.cli import console

            console.note("interrupted; nothing was written")
            return stop.exit_code

"""`python -m scaffold.runtime evaluate|predict|registered`: what a project's Makefile and `scaffold list` call."""

from __future__ import annotations

import argparse
import sys

from scaffold.errors import DataError
from scaffold.runtime.console import run_command
from scaffold.runtime.imports import collector_paused


def main() -> None:
    """Parse the command line and run what it names."""
    arguments = _parser().parse_args()
    sys.path.insert(0, "")  # the project's package lies in the current folder
    run_command(lambda: arguments.run_it(arguments), debug=arguments.debug, json=arguments.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scaffold.runtime", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--run", default="runs/latest", help="the run folder (default: runs/latest)")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    common.add_argument("--json", action="store_true", help="print results and errors as JSON")
    common.add_argument("--accelerator", default="auto", help="cpu, cuda, …")
    changes = argparse.ArgumentParser(add_help=False)
    changes.add_argument(
        "changes", nargs="*", metavar="KEY=VALUE", help="what to change this once: task.…, data.columns.…"
    )
    commands = parser.add_subparsers(required=True)
    evaluate = commands.add_parser(
        "evaluate", parents=[common, changes], help="measure a run on its test rows or on a file"
    )
    evaluate.add_argument("--data", help="a file with labelled rows")
    evaluate.set_defaults(run_it=_evaluate)
    predict = commands.add_parser("predict", parents=[common, changes], help="predict the rows of a file")
    predict.add_argument("--input", default="-", help="a file, or - for standard input")
    predict.add_argument("--output", default="-", help="a file, or - for standard output")
    predict.add_argument("--format", help="of the input, if its name does not say it: tsv, csv, jsonl, or your own")
    predict.set_defaults(run_it=_predict)
    listing = commands.add_parser("registered", help="list what the project registers by name")
    listing.add_argument("--debug", action="store_true", help="show the traceback of an error")
    listing.add_argument("--json", action="store_true", help="print the list and errors as JSON")
    listing.set_defaults(run_it=_registered)
    return parser


def _evaluate(arguments: argparse.Namespace) -> None:
    with collector_paused():
        from scaffold.runtime import commands, console  # here, so that --help loads no torch

    metrics = commands.evaluate(arguments.run, arguments.data, arguments.accelerator, arguments.changes)
    console.print_metrics(metrics, json=arguments.json)


def _predict(arguments: argparse.Namespace) -> None:
    with collector_paused():
        from scaffold.runtime import commands  # here, so that --help loads no torch

    bad = commands.predict_file(
        arguments.run, arguments.input, arguments.output, arguments.format, arguments.accelerator, arguments.changes
    )
    if bad:
        raise DataError(
            f"{bad} row{'s' * (bad > 1)} could not be predicted",
            because="not as the task expects; each has its error in the output",
            fix="mend these rows and predict them again",
            code="data.rows",
        )


def _registered(arguments: argparse.Namespace) -> None:
    with collector_paused():
        from scaffold.runtime import console  # here, so that --help loads no Hydra
        from scaffold.runtime.plain.registry import registrations

    entries = registrations()
    if arguments.json:
        facts = [{name: getattr(one, name) for name in ("kind", "name", "path", "file", "line")} for one in entries]
        console.print_data({"registered": facts})
    else:
        console.print_columns([(one.kind, one.name, one.path, one.place) for one in entries])


if __name__ == "__main__":
    main()

"""`python -m scaffold.runtime evaluate|predict`: the commands of a generated project's Makefile."""

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
    commands = parser.add_subparsers(required=True)
    evaluate = commands.add_parser("evaluate", parents=[common], help="measure a run on its test rows or on a file")
    evaluate.add_argument("--data", help="a file with labelled rows")
    evaluate.set_defaults(run_it=_evaluate)
    predict = commands.add_parser("predict", parents=[common], help="predict the rows of a file")
    predict.add_argument("--input", default="-", help="a file, or - for standard input")
    predict.add_argument("--output", default="-", help="a file, or - for standard output")
    predict.add_argument("--format", choices=["tsv", "csv", "jsonl"], help="of the input, if its name does not say it")
    predict.set_defaults(run_it=_predict)
    return parser


def _evaluate(arguments: argparse.Namespace) -> None:
    with collector_paused():
        from scaffold.runtime import commands, console  # here, so that --help loads no torch

    console.print_metrics(commands.evaluate(arguments.run, arguments.data, arguments.accelerator), json=arguments.json)


def _predict(arguments: argparse.Namespace) -> None:
    with collector_paused():
        from scaffold.runtime import commands  # here, so that --help loads no torch

    bad = commands.predict_file(
        arguments.run, arguments.input, arguments.output, arguments.format, arguments.accelerator
    )
    if bad:
        raise DataError(
            f"{bad} row{'s' * (bad > 1)} could not be predicted",
            because="not as the task expects; each has its error in the output",
            fix="mend these rows and predict them again",
            code="data.rows",
        )


if __name__ == "__main__":
    main()

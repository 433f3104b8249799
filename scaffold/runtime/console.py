"""How the runtime's commands and generated scripts end: errors become text on standard error and an exit code."""

from __future__ import annotations

import errno
import functools
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr
from math import isfinite
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, TypeVar

from scaffold.errors import ConfigError, EnvironmentFault, OutOfMemory, ScaffoldError, Where, shown
from scaffold.runtime.config.secrets import discreet
from scaffold.runtime.training.signals import ended_by_signals
from scaffold.runtime.training.sweep import closing_table

T = TypeVar("T")
INTERRUPTED, TERMINATED = 130, 143
CONFIG_PACKAGES = {"hydra", "omegaconf", "yaml"}
FAULTS = {errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.ENOSPC, errno.EPERM, errno.EROFS}
MEMORY_PHRASES = ("DefaultCPUAllocator: ", "CUDA out of memory", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")
OWN_CODE, UNEXPECTED = "model.own-code", "unexpected"


def entry_point(main: Callable[..., T]) -> Callable[..., T]:
    """Let a script end as a command should, with an error's text and exit code; stands above `@hydra.main`."""

    @functools.wraps(main)
    def guarded(*args: Any, **kwargs: Any) -> T:
        os.environ["HYDRA_FULL_ERROR"] = "1"  # else Hydra prints the error itself and exits 1
        return run_command(lambda: _located(lambda: _with_table(main, *args, **kwargs)))

    return guarded


def _located(function: Callable[[], T]) -> T:
    """Call a script's main; where a setting is at fault, say which line of `conf/` has it, or how it is written."""
    try:
        return function()
    except SystemExit as stop:
        if _home_of(stop) == "argparse" and stop.code:
            print("  fix: write settings as key=value, without dashes: trainer.max_epochs=5", file=sys.stderr)
        raise
    except ConfigError as error:
        from scaffold.runtime.config.places import located  # here, as only an error needs it

        error.where = located(error.where, sys.argv[1:])
        raise


def _with_table(main: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Call a script's main; after a sweep, print a line for each of its runs that finished, the best first."""
    try:
        return main(*args, **kwargs)
    finally:
        print_columns([tuple(map(discreet, line)) for line in closing_table()])


def run_command(function: Callable[[], T], debug: bool = False, json: bool = False) -> T:
    """Call a function and return its result; what it raises is printed and ends the process with its exit code."""
    with redirect_stderr(_Discreet(sys.stderr)):
        try:
            with ended_by_signals():
                result = function()
                sys.stdout.flush()
        except BrokenPipeError:
            _discard_output()  # the reader has seen enough, as `head` has
            raise SystemExit(0) from None
        except (SystemExit, KeyboardInterrupt) as stop:
            raise SystemExit(exit_code(stop)) from None
        except Exception as error:
            raise SystemExit(report(error, debug or os.environ.get("SCAFFOLD_DEBUG") == "1", json)) from None
        return result


def report(error: Exception, debug: bool = False, json: bool = False) -> int:
    """Print an error, as JSON on standard output or as text, and return its exit code.

    A traceback follows where the fault may be in code: the person's frames only, or all of them with `debug`.
    """
    found = explained(error)
    if json:
        print_data(found.as_json())
        return found.exit_code
    print(found, file=sys.stderr)
    if debug or found.code in (OWN_CODE, UNEXPECTED):
        print("".join(_traceback(error, whole=debug or found.code == UNEXPECTED)), end="", file=sys.stderr)
    return found.exit_code


def explained(error: Exception) -> ScaffoldError:
    """Return any error as one of ours."""
    if isinstance(error, ScaffoldError):
        return error
    if any(_is_of_config(cls.__module__) for cls in type(error).__mro__) or _is_of_config(_home_of(error)):
        from scaffold.runtime.config.errors import config_error  # here, so that printing alone loads no Hydra

        return config_error(error)
    if type(error).__name__ == "MisconfigurationException":
        return _refused_by_lightning(error)
    if _is_out_of_memory(error):
        return _memory_fault(error)
    if isinstance(error, OSError) and error.errno in FAULTS:
        return _environment_fault(error)
    return _code_fault(error)


def exit_code(stop: BaseException) -> Any:
    """Return what the end of a process means; a KeyboardInterrupt is said.

    Lightning's own code for signals would claim success (SIGTERM) or a bug (SIGINT).
    """
    if isinstance(stop, KeyboardInterrupt) or (
        isinstance(stop.__context__, KeyboardInterrupt) and getattr(stop, "code", 0) == 1
    ):
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    return TERMINATED if type(stop).__name__ == "SIGTERMException" else getattr(stop, "code", 1)


def say(line: str) -> None:
    """Print a line of progress, on standard error and below a bar that may stand there."""
    print(f"\r\x1b[K{line}" if sys.stderr.isatty() else line, file=sys.stderr)


def print_metrics(metrics: Mapping[str, float], json: bool = False) -> None:
    """Print metrics by name, one to a line, or as JSON, with null for what is no number."""
    if json:
        print_data({name: value if isfinite(value) else None for name, value in sorted(metrics.items())})
        return
    width = max(map(len, metrics), default=0)
    for name, value in sorted(metrics.items()):
        figure = f"{value:.4f}" if isinstance(value, float) else str(value).lower()  # a count, true or false
        print(f"{name:<{width}}  {figure}")


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of words, one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip())


def print_data(content: Any) -> None:
    """Print a result for programs."""
    from json import dumps

    print(discreet(dumps(content, indent=2, ensure_ascii=False)))


class _Discreet:
    """Standard error without values from the environment, and without the line in which Hydra repeats all overrides."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not text.startswith("Error executing job with overrides: "):
            self._stream.write(discreet(text))
        return len(text)


def _discard_output() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())


# What an error is


def _is_of_config(module: str) -> bool:
    return module.partition(".")[0] in CONFIG_PACKAGES


def _home_of(error: BaseException) -> str:
    """Return the module that raised an error."""
    frame = _innermost(error)
    return str(frame.f_globals.get("__name__")) if frame else ""


def _refused_by_lightning(error: Exception) -> ConfigError:
    return ConfigError(
        "Lightning refuses a setting",
        because=_first_line(error),
        fix="correct it in conf/trainer, or on the command line",
        where=Where(key="trainer"),
        code="config.value",
    )


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in MEMORY_PHRASES)


def _memory_fault(error: Exception) -> OutOfMemory:
    return OutOfMemory(
        "the model and its batch do not fit into memory",
        because=_first_line(error),
        fix="set a smaller data.max_tokens or data.batch_size, and trainer.accumulate_grad_batches=2 to make up for it",
    )


def _environment_fault(error: OSError) -> EnvironmentFault:
    place = str(error.filename) if error.filename else None
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return EnvironmentFault(
        f"cannot write {shown(place)}" if full and place else f"cannot use {shown(place)}" if place else "cannot write",
        because=error.strerror or str(error),
        fix="make room there, or give a run_dir on another disk" if full else "give it to this user, or name another",
        where=Where(file=place),
    )


def _code_fault(error: Exception) -> ScaffoldError:
    own = [(frame, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_own(frame.f_code.co_filename)]
    if not own:
        return ScaffoldError(
            f"unexpected {type(error).__name__}",
            because=_first_line(error),
            fix="this is a fault of the runtime: please report it with what follows",
            code=UNEXPECTED,
        )
    frame, line = own[-1]
    where = Where(file=_short(frame.f_code.co_filename), line=line)
    if isinstance(error, NotImplementedError) and frame is _innermost(error):
        return _unwritten(error, frame, where)
    if isinstance(error, SyntaxError) and error.filename and _is_own(error.filename):
        where = Where(file=_short(error.filename), line=error.lineno)
    return ScaffoldError(
        f"{type(error).__name__} in {frame.f_code.co_qualname}",
        because=_first_line(error),
        fix="look at this line; SCAFFOLD_DEBUG=1 shows the libraries' frames, too",
        where=where,
        code=OWN_CODE,
    ).with_details(getattr(error, "__notes__", []))


def _unwritten(error: NotImplementedError, frame: FrameType, where: Where) -> ScaffoldError:
    name, wanted = frame.f_code.co_qualname, " ".join(str(error).split())
    return ScaffoldError(
        f"{name} is not written yet",
        because="it only raises NotImplementedError",
        fix=f"{name} {wanted}" if wanted.startswith("must ") else wanted or f"write {name}",
        where=where,
        code="model.not-written",
    )


def _innermost(error: BaseException) -> FrameType | None:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1] if frames else None


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return line if line.isprintable() and len(line) <= 200 else shown(line)


# Tracebacks


def _traceback(error: BaseException, *, whole: bool) -> Iterator[str]:
    summary = traceback.TracebackException.from_exception(error)
    if not whole:
        _leave_libraries_out(summary)
    return summary.format()


def _leave_libraries_out(summary: traceback.TracebackException | None) -> None:
    if summary is None:
        return
    summary.stack[:] = [frame for frame in summary.stack if _is_own(frame.filename)]
    _leave_libraries_out(summary.__cause__)
    _leave_libraries_out(summary.__context__)


def _is_own(filename: str) -> bool:
    path = os.path.abspath(filename)  # noqa: PTH100 - Path.resolve would follow links out of the project
    return not filename.startswith("<") and not path.startswith(_library_folders())


@functools.cache
def _library_folders() -> tuple[str, ...]:
    import sysconfig

    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = [sysconfig.get_path(name) for name in names] + [str(Path(__file__).parents[1])]
    return tuple(folder + os.sep for folder in folders)


def _short(filename: str) -> str:
    path, here = Path(filename), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)

"""A crash in the person's code, told from where they stand: their line first, never the checker's."""

from __future__ import annotations

import sysconfig
import traceback
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scaffold.check.code import typed
from scaffold.errors import LONGEST_VALUE, ScaffoldError

ONCE_MORE = "Trying to backward through the graph a second time"
IN_PLACE = "modified by an inplace operation"


@dataclass(frozen=True)
class Crash:
    """An error and what was being done when it was raised."""

    doing: str
    error: BaseException

    @property
    def place(self) -> tuple[str | None, int | None, str]:
        """Return file, line and function of the innermost frame that is the person's own."""
        frames = [frame for frame in traceback.extract_tb(self.error.__traceback__) if is_own(frame.filename)]
        if frames:
            return typed(Path(frames[-1].filename)), frames[-1].lineno, frames[-1].name
        where = self.error.where if isinstance(self.error, ScaffoldError) else None
        if where is not None and where.file is None and where.key:
            return *_place_in_config(where.key), ""
        return (where.file, where.line, "") if where else (None, None, "")

    @property
    def text(self) -> str:
        """Return the error in one line."""
        if isinstance(self.error, ScaffoldError):
            return ": ".join(part for part in (self.error.what.rstrip("."), self.error.because) if part)
        lines = str(self.error).strip().splitlines()
        return f"{type(self.error).__name__}: {lines[0]}" if lines else type(self.error).__name__

    @property
    def is_graph_kept(self) -> bool:
        """Return whether backward met a graph of an earlier batch."""
        return ONCE_MORE in str(self.error)

    @property
    def is_in_place(self) -> bool:
        """Return whether backward met a tensor that was changed after forward."""
        return IN_PLACE in str(self.error)

    @property
    def is_stub(self) -> bool:
        """Return whether a method that has not been written was met."""
        raised = traceback.extract_tb(self.error.__traceback__)[-1:]
        return isinstance(self.error, NotImplementedError) and all(is_own(frame.filename) for frame in raised)

    @property
    def fix(self) -> str:
        """Return what the error itself says to do."""
        return self.error.fix if isinstance(self.error, ScaffoldError) else ""

    def __str__(self) -> str:
        file, _, function = self.place
        doing = f"importing {file}" if function == "<module>" else self.doing
        return f"{doing} failed: {self.text[:LONGEST_VALUE]}"


class Crashed(Exception):  # noqa: N818 - it is theirs, and no error of this program
    """The person's code failed in an experiment of a rule."""

    def __init__(self, crash: Crash) -> None:
        super().__init__(str(crash))
        self.crash = crash


class Unmeasured(Exception):  # noqa: N818 - a reason, no error
    """An experiment of a rule gave nothing that could be compared."""


def is_own(filename: str) -> bool:
    """Return whether a file belongs to the person, not to Python, an installed package or this one."""
    return not filename.startswith("<") and not any(filename.startswith(folder) for folder in _foreign())


def _place_in_config(key: str) -> tuple[str | None, int | None]:
    """Return the line of a key below conf/ of the current folder, which is the project's while its model is run."""
    from scaffold.check.settings import Settings

    folder = Path("conf").resolve()
    if not (folder / "train.yaml").is_file():
        return None, None
    place = Settings(folder, None).place(key)  # type: ignore[arg-type]
    return place.get("file"), place.get("line")


@cache
def _foreign() -> tuple[str, ...]:
    """Return the folders of Python, of installed packages and of this one; PyTorch need not lie among the installed."""
    import torch

    paths = sysconfig.get_paths()
    installed = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    return tuple(f"{Path(folder)}/" for folder in [*installed, *map(_home, (torch.__file__, __file__))])


def _home(file: str) -> str:
    """Return the folder that a package's folder lies in, or this package's own."""
    return str(Path(file).parents[1])

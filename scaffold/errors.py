"""One family of errors: each says what is wrong, why, and what to do, and carries its exit code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

LONGEST_VALUE = 200


def shown(value: object) -> str:
    """Return a value as it may be printed: quoted, control characters escaped, at most 200 characters."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def listed(values: object, limit: int = 8) -> str:
    """Return values as one comma-separated phrase, shortened after `limit` of them."""
    items = [str(value) for value in values]  # type: ignore[attr-defined]
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest} more" if rest > 0 else "")


def nearest(name: object, known: Iterable[object], least: float = 0.6) -> str | None:
    """Return the known name that a wrong one was probably meant to be; None where none is as like it as `least`."""
    from difflib import get_close_matches  # here, as only an error needs it

    names = [str(one) for one in known]
    same = [one for one in names if one.casefold() == str(name).casefold()]
    return next(iter(same or get_close_matches(str(name), names, n=1, cutoff=least)), None)


@dataclass(frozen=True, slots=True)
class Where:
    """The place of an error: a file and line, or a key of the configuration and where it is set."""

    file: str | None = None
    line: int | None = None
    key: str | None = None

    def __str__(self) -> str:
        place = " in ".join(filter(None, (self.key, self.file)))
        return f"{place}:{self.line}" if self.line is not None else place


class ScaffoldError(Exception):
    """A problem that the person can mend; `details` are further problems of the same kind, one line each."""

    exit_code: ClassVar[int] = 1
    family: ClassVar[str] = "error"

    def __init__(
        self, what: str, *, because: str = "", fix: str = "", where: Where | None = None, code: str = ""
    ) -> None:
        super().__init__(what)
        self.what = what
        self.because = because
        self.fix = fix
        self.where = where or Where()
        self.code = code or self.family
        self.details: tuple[str, ...] = ()

    def with_details(self, details: list[str]) -> ScaffoldError:
        """Return the same error with further lines below its cause."""
        self.details = tuple(details)
        return self

    def __str__(self) -> str:
        place = f" [{self.where}]" if str(self.where) else ""
        lines = [f"error: {self.what}{place}"]
        if self.because:
            lines.append(f"  because: {self.because}")
        lines.extend(f"    {detail}" for detail in self.details)
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the error as plain data, for `--json`."""
        return {
            "error": {
                "code": self.code,
                "exit": self.exit_code,
                "message": self.what,
                "because": self.because,
                "details": list(self.details),
                "file": self.where.file,
                "line": self.where.line,
                "key": self.where.key,
                "fix": self.fix,
            }
        }


class ModelError(ScaffoldError):
    """The person's model does not do what its task asks of it."""

    family = "model"


class UsageError(ScaffoldError):
    """The command line asks for something that does not exist or cannot be."""

    exit_code = 2
    family = "usage"


class ConfigError(ScaffoldError):
    """The configuration names an unknown key, a wrong value or a target that is not allowed."""

    exit_code = 2
    family = "config"


class RefusedError(ScaffoldError):
    """The state of things forbids it: something exists already, is dirty, or does not fit."""

    exit_code = 3
    family = "refused"


class EnvironmentFault(ScaffoldError):  # noqa: N818 - EnvironmentError is Python's
    """The machine is in the way: permission, disk, a port, a missing tool or package."""

    exit_code = 4
    family = "environment"


class ArtefactError(ScaffoldError):
    """A file that this tool wrote is damaged or unsafe to load."""

    exit_code = 5
    family = "artefact"


class DataError(ScaffoldError):
    """Rows of the data are not as they should be."""

    exit_code = 7
    family = "data"


class DivergedError(ScaffoldError):
    """The loss is no longer a finite number."""

    exit_code = 8
    family = "diverged"


class OutOfMemory(ScaffoldError):  # noqa: N818 - the field's own term for it
    """The model and its batch do not fit into memory."""

    exit_code = 9
    family = "memory"

"""Answers as they are given on the command line and in a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scaffold.errors import UsageError, Where, shown


def given_answers(settings: Iterable[str], file: str | None) -> dict[str, Any]:
    """Return all answers by their question; one from the command line wins over one from the file."""
    answers = read_file(Path(file)) if file else {}
    return answers | dict(parse_setting(setting) for setting in settings)


def parse_setting(setting: str) -> tuple[str, str]:
    """Return `KEY=VALUE` as its two parts."""
    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise UsageError(
            f"{shown(setting)} is not of the form KEY=VALUE",
            because="--set takes the name of a question, an equals sign and the answer",
            fix="--set author='Ada Lovelace'",
            code="usage.set",
        )
    return key.strip(), value


def read_file(path: Path) -> dict[str, Any]:
    """Return the answers in a YAML (or JSON) file."""
    import yaml

    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise unusable(path, problem, mark.line + 1 if mark else None) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise unusable(path, f"expected keys and values, got {shown(content)}")
    return content


def unusable(path: Path, because: str, line: int | None = None) -> UsageError:
    """Return the error of a file of answers that cannot be read."""
    return UsageError(
        "the file of answers cannot be used",
        because=because,
        fix="write one `question: answer` per line, as in YAML",
        where=Where(file=str(path), line=line),
        code="usage.answers-file",
    )

"""`--init KEY=VALUE`: arguments of a lone class's constructor, as they are typed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scaffold.check.code import Class, Code
from scaffold.errors import UsageError, listed, nearest, shown


def read_arguments(settings: Iterable[str]) -> dict[str, Any]:
    """Return arguments by name; values are read as YAML, so that 8 is a number and [1, 2] a list.

    Errors: UsageError for what is not KEY=VALUE, or whose value is no YAML.
    """
    return dict(_read(setting) for setting in settings)


def check_arguments(code: Code, cls: Class, given: Mapping[str, Any]) -> None:
    """Raise UsageError for arguments that the class does not take, as far as its code tells."""
    from scaffold.check.signatures import of_class

    signature = of_class(code, cls)
    for name in given:
        if signature and name not in signature.names and not signature.is_open:
            near = nearest(name, signature.names)
            raise UsageError(
                f"{signature.name} takes no argument {shown(name)}",
                because=f"it takes {listed(signature.names, 20) or 'none'}",
                fix=f"did you mean --init {near}={given[name]}?" if near else "leave it out",
                code="usage.init",
            )


def _read(setting: str) -> tuple[str, Any]:
    import yaml

    key, equals, value = setting.partition("=")
    if not equals or not key.strip().isidentifier():
        raise _unusable(setting, "--init takes the name of an argument, an equals sign and a value")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise _unusable(setting, str(getattr(error, "problem", None) or error)) from error


def _unusable(setting: str, because: str) -> UsageError:
    return UsageError(
        f"{shown(setting)} is not of the form KEY=VALUE", because=because, fix="--init hidden_size=8", code="usage.init"
    )

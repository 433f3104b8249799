"""The values that a config takes from the environment, so that nothing that is printed or kept shows them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

REFERENCE = re.compile(r"\$\{oc\.env:\s*([^,}\s]+)")
SHORTEST_SECRET = 6  # a shorter value is no secret, and stands in other words by chance
HIDDEN: dict[str, str] = {}


def hide_environment(config: Any) -> None:
    """Note the values of all variables that an unresolved config, as plain data, refers to; for the whole process."""
    for text in _texts(config):
        for name in REFERENCE.findall(text):
            value = os.environ.get(name, "")
            if len(value) >= SHORTEST_SECRET:
                HIDDEN[value] = f"${{oc.env:{name}}}"


def discreet(text: str) -> str:
    """Return a text with the names of environment variables in place of their values."""
    for value in sorted(HIDDEN, key=len, reverse=True):  # one may be part of another
        text = text.replace(value, HIDDEN[value])
    return text


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict | list):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from _texts(item)

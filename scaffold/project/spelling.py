"""Free text in the spelling of each format that templates write, so that it comes back exactly and does nothing."""

from __future__ import annotations

import re
import unicodedata

from scaffold.errors import UsageError, Where, shown

LONGEST_TEXT = 1000
# Cc control, Cs lone surrogate, Zl and Zp line and paragraph separator
UNWRITABLE_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Embeddings, overrides and isolates make a line read differently from what it does.
DIRECTION_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
INTERPOLATION = re.compile(r"(\\*)\$\{")
MARKUP = re.compile(r"[\\`*\[<|~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
BLOCK_START = re.compile(r"^(?:[-+=:#>]|\d+[.)])")


def check_writable(key: str, text: str) -> None:
    """Raise UsageError unless every format can hold the text on one line."""
    reason = unwritable(text)
    if reason:
        raise UsageError(
            f"the answer to {key!r} cannot be written into the project's files: {shown(text)}",
            because=reason,
            fix=f"--set {key}=<one line of plain text>",
            where=Where(key=key),
            code="usage.text",
        )


def unwritable(text: str) -> str:
    """Return why a text has no exact spelling in every format, as a phrase; empty where it has."""
    if len(text) > LONGEST_TEXT:
        return f"it has {len(text)} characters; {LONGEST_TEXT} are allowed"
    if text == "???":
        return "configurations read '???' as a value that is missing"
    bad = next((character for character in text if not is_writable(character)), "")
    return f"it contains the character U+{ord(bad):04X}, which is not text on one line" if bad else ""


def is_writable(character: str) -> bool:
    """Say whether TOML, YAML and Python can all hold a character as it is."""
    noncharacter = ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF
    unwritable = unicodedata.category(character) in UNWRITABLE_CATEGORIES or character in DIRECTION_CONTROLS
    return not (noncharacter or unwritable)


def toml(value: str | bool) -> str:
    """Return a value as a TOML literal."""
    return _word(value) if isinstance(value, bool) else _double_quoted(value)


def yaml(value: str | bool) -> str:
    r"""Return a value as a YAML literal that OmegaConf reads back literally: `${` is written `\${`."""
    if isinstance(value, bool):
        return _word(value)
    return _double_quoted(literal(value))


def literal(text: str) -> str:
    """Return a text as OmegaConf reads it back literally, whatever it refers to."""
    return INTERPOLATION.sub(lambda match: match[1] * 2 + r"\${", text)


def python(value: str | bool) -> str:
    """Return a value as a Python literal with the quotes that `ruff format` would choose."""
    if isinstance(value, bool):
        return str(value)
    if value.count('"') <= value.count("'"):
        return _double_quoted(value)
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def text(value: str | bool) -> str:
    """Return a value as one line that is plain text in Markdown and in the comments of a Makefile."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    escaped = MARKUP.sub(lambda match: "\\" + match[0], value.strip())
    escaped = BLOCK_START.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], escaped)
    # a backslash at the end would join the next line of a Makefile to the comment
    return escaped[:-2] + "&#92;" if escaped.endswith("\\") else escaped


def spelled(key: str, value: str | bool) -> dict[str, str | bool]:
    """Return an answer as templates see it: plain, and once in the spelling of each format."""
    return {
        key: value,
        f"{key}_toml": toml(value),
        f"{key}_yaml": yaml(value),
        f"{key}_py": python(value),
        f"{key}_text": text(value),
    }


def _word(value: bool) -> str:
    return "true" if value else "false"


def _double_quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

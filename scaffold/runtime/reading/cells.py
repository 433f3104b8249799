"""From the text of one row to its values, strictly: what a lenient parser would guess at is a finding here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from scaffold.errors import shown
from scaffold.runtime.samples import BadRow

DEEPEST = 100
CSV_VALUE = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)')


def split_tabs(text: str) -> list[str]:
    """Return the values of a TSV row."""
    return text.split("\t")


def split_commas(text: str) -> list[str]:
    """Return the values of a CSV row (RFC 4180); raises BadRow where a quote stands in the wrong place."""
    if '"' not in text:
        return text.split(",")
    values: list[str] = []
    position, more = 0, True
    while more:
        match = CSV_VALUE.match(text, position)
        if match is None:
            start = shown(text[position : position + 40])
            raise BadRow(f"expected quotes around a whole value, and doubled inside it, got {start}")
        quoted, plain, comma = match.groups()
        values.append(plain if quoted is None else quoted.replace('""', '"'))
        position, more = match.end(), bool(comma)
    return values


def load_object(text: str) -> dict[str, Any]:
    """Return a JSON object; raises BadRow for anything else, and for what JSON forbids although Python reads it."""
    try:
        found = _DECODER.decode(text)
    except BadRow:
        raise
    except json.JSONDecodeError as problem:
        raise _no_json(problem) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise BadRow("expected a JSON object, got a number with too many digits in it") from None
    if not isinstance(found, dict):
        raise BadRow(f"expected a JSON object, got {shown(found)}")
    if text.count("[") + text.count("{") > DEEPEST:
        _refuse_depth(found)
    if "\\u" in text:
        _refuse_half_characters(found)
    return found


def _no_json(problem: json.JSONDecodeError) -> BadRow:
    wrong = f"{problem.msg.removesuffix(' at')} at column {problem.colno}"
    if problem.doc.lstrip().startswith("["):
        wrong = "it begins a list; write its objects one a line, without brackets and commas around them"
    elif problem.pos >= len(problem.doc.rstrip()) or problem.msg.startswith("Unterminated"):
        wrong = "it ends too early"
    return BadRow(f"expected a JSON object, got text that is none: {wrong}", below=problem.lineno - 1)


def _too_deep() -> BadRow:
    return BadRow(f"expected a JSON object, got one that is nested more than {DEEPEST} deep")


def _refuse_depth(found: Any) -> None:
    level, depth = [found], 0
    while level := [item for value in level for item in _inside(value)]:
        depth += 1
        if depth > DEEPEST:
            raise _too_deep()


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_half_characters(found: dict[str, Any]) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as problem:
        half = ascii(problem.object[problem.start])
        raise BadRow(f"expected text, got half a character, {half}, that no other half follows") from None


def _refuse_constant(name: str) -> NoReturn:
    raise BadRow(f"expected a finite number, got {name}")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BadRow(f"expected a finite number, got {shown(digits)}")
    return number


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise BadRow(f"expected every key once, got {shown(next(key for key in keys if keys.count(key) > 1))} twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)

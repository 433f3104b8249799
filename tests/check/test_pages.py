"""The page of the rules says what the rules say."""

from __future__ import annotations

from pathlib import Path

from scaffold.check.pages import page

RULES = Path(__file__).parents[2] / "docs" / "rules.md"


def test_the_page_of_the_rules_is_current():
    assert RULES.read_text(encoding="utf-8") == page(), "run `make rules`"

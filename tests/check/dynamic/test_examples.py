"""Every dynamic rule finds its own example, and nothing in the same file without the mistake."""

from __future__ import annotations

import pytest

from scaffold.check import check_path
from scaffold.check.rule import load_rules, rule_ids

RULES = load_rules("dynamic")


@pytest.fixture
def findings(tmp_path, project_of):
    """Write an example and check it with all dynamic rules."""

    def check(rule, text):
        if rule.task is None:
            target = project_of("sequence-classifier")
            (target / rule.file).write_text(text, encoding="utf-8")
        else:
            (tmp_path / "model.py").write_text(text, encoding="utf-8")
            target = f"{tmp_path / 'model.py'}:Model"
        return check_path(target, task=rule.task, only=rule_ids("dynamic")).findings

    return check


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_finds_its_example(rule, findings):
    found = {finding.rule: finding for finding in findings(rule, rule.example)}
    assert rule.id in found
    assert found[rule.id].file
    assert found[rule.id].line


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_is_to_be_used_instead_is_clean(rule, findings):
    assert findings(rule, rule.instead) == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_explains_itself_in_whole_sentences(rule):
    for text in (rule.title, rule.why, rule.fix):
        assert text[0].isupper() or text[0] in "`_" or text.split()[0].islower()
        assert text.endswith(".")

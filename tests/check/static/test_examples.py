"""Every static rule finds its own example, and nothing in the same file without the mistake."""

from __future__ import annotations

import subprocess
import sys

import pytest

from scaffold.check import check_path
from scaffold.check.rule import HALVES, load_rules, rule_ids

RULES = load_rules("static")


def findings(rule, text, project, tmp_path):
    if rule.task is None:
        path, target = project / rule.file, project
    else:
        path = tmp_path / "model.py"
        target = f"{path}:Model"
    path.write_text(text, encoding="utf-8")
    return check_path(target, task=rule.task, static=True).findings


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_finds_its_example(rule, project, tmp_path):
    found = findings(rule, rule.example, project, tmp_path)
    assert {finding.rule for finding in found} == {rule.id}
    assert all(finding.file and finding.line for finding in found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_is_to_be_used_instead_is_clean(rule, project, tmp_path):
    assert findings(rule, rule.instead, project, tmp_path) == ()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_explains_itself_in_whole_sentences(rule):
    assert rule.id in rule_ids("static")
    for text in (rule.title, rule.why, rule.fix):
        assert text[0].isupper() or text[0] == "`"
        assert text.endswith(".")


def test_rules_of_both_halves_have_different_ids():
    ids = [name for half in HALVES for name in rule_ids(half)]
    assert len(ids) == len(set(ids))


def test_all_rules_are_read_without_torch():
    code = (
        "import sys\n"
        "from scaffold.check.rule import HALVES, load_rules\n"
        "rules = [rule for half in HALVES for rule in load_rules(half)]\n"
        "assert not {'torch', 'lightning', 'transformers', 'hydra'} & set(sys.modules), sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

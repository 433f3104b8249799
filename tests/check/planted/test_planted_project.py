"""Every bug planted in a generated project is found by the right rule, and the project itself is left in peace."""

from __future__ import annotations


def test_a_bug_planted_in_a_project_is_found_by_its_rule_and_by_no_other(planted_project, project_plant, check):
    found = check(planted_project, *(["--static"] if project_plant.get("static") else []))
    rule = project_plant["rule"]
    rules = set(rule if isinstance(rule, list) else [rule])
    assert rules & found.rules(), str(found)
    assert found.rules("error", "warning") <= rules | set(project_plant.get("also", ())), str(found)


def test_a_generated_project_has_neither_errors_nor_warnings(project, check):
    found = check(project)
    assert found.code == 0
    assert not found.rules("error", "warning"), str(found)

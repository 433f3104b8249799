"""A report: in what order and words findings are told, what programs get of it, and what its exit code is."""

from __future__ import annotations

import json

import pytest

from scaffold.check import Finding, NotChecked, Report

LOW = Finding("dead-parameter", "warning", "fc1 gets no gradient", "b.py", 7, 0.0, "It is not trained.", "Use it.")
HIGH = Finding("stub", "error", "forward is not written yet", "a.py", 3, None, "It raises.", "Write it.")
ALIKE = Finding("stub", "error", "training_step is not written yet", "a.py", 9, None, "It raises.", "Write it.")
PLACELESS = Finding("seed", "note", "differs", measured={"first": 0.123456, "second": [1, 2]})


def test_findings_are_told_file_by_file_in_the_order_of_their_lines():
    assert Report((PLACELESS, LOW, HIGH)).ordered() == [HIGH, LOW, PLACELESS]


def test_a_person_reads_place_severity_rule_and_measured_value_first():
    assert str(LOW) == (
        "b.py:7: warning [dead-parameter] fc1 gets no gradient (measured: 0)\n  why: It is not trained.\n  fix: Use it."
    )
    assert str(PLACELESS).startswith("the model: note [seed] differs (measured: first 0.1235, second 1, 2)")


def test_reason_and_fix_are_told_once_for_findings_of_one_kind():
    text = str(Report((HIGH, ALIKE), checked=("stub",)))
    assert text == (
        "a.py:3: error [stub] forward is not written yet\n"
        "a.py:9: error [stub] training_step is not written yet\n"
        "  why: It raises.\n"
        "  fix: Write it.\n"
        "\n"
        "2 errors by 1 rule"
    )


def test_a_report_ends_with_what_was_not_checked():
    left_out = (NotChecked("monitor", "no config"), NotChecked("seed", "no torch"), NotChecked("crash", "no torch"))
    assert str(Report((), left_out, ("stub", "config"))) == (
        "not checked:\n  monitor: no config\n  seed, crash: no torch\n\nnothing found by 2 rules; 3 things not checked"
    )


@pytest.mark.parametrize(
    "findings, strict, code",
    [((), True, 0), ((PLACELESS,), True, 0), ((LOW,), False, 0), ((LOW,), True, 10), ((HIGH, LOW), False, 10)],
)
def test_only_errors_fail_a_check_unless_it_is_strict(findings, strict, code):
    assert Report(findings).exit_code(strict=strict) == code


def test_json_has_every_field_and_only_plain_values():
    odd = Finding("seed", "note", "odd", measured={"loss": float("nan"), "shape": (2, 3), "kind": Finding})
    content = json.loads(json.dumps(Report((HIGH, odd), (NotChecked("crash", "no torch"),), ("stub",)).as_json()))
    first = {"rule": "stub", "severity": "error", "message": "forward is not written yet", "file": "a.py", "line": 3}
    assert content["findings"][0] == first | {"measured": None, "why": "It raises.", "fix": "Write it."}
    assert content["findings"][1]["measured"] == {"loss": "nan", "shape": [2, 3], "kind": str(Finding)}
    assert content["not_checked"] == [{"rule": "crash", "reason": "no torch"}]
    assert content["checked"] == ["stub"]


def test_annotations_escape_what_github_would_misread():
    odd = Finding("seed", "note", "100%\nsure", "a,b:c.py", 2)
    assert list(Report((odd,)).annotations()) == [
        "::notice file=a%2Cb%3Ac.py,line=2,title=scaffold check%3A seed::100%25%0Asure"
    ]
    assert next(Report((HIGH,)).annotations()).startswith("::error file=a.py,line=3,title=")


def test_what_another_rule_makes_up_for_is_no_longer_left_open():
    static = Report(not_checked=(NotChecked("unknown-target", "needs an import", until="library-target"),))
    assert (static + Report(checked=("library-target",))).not_checked == ()
    assert len((static + Report(checked=("crash",))).not_checked) == 1

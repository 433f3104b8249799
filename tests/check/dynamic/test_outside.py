"""Models of the runtime outside a project: rows are made up for their own task."""

from __future__ import annotations

import pytest

from scaffold.check import check_path
from scaffold.check.rule import rule_ids

DYNAMIC = rule_ids("dynamic")
FAMILIES = {
    "sequence-classifier": "sequence",
    "sentence-pair-classifier": "sentence-pair",
    "token-classifier": "tokens",
    "question-answerer": "qa",
    "text-generator": "generation",
}


@pytest.mark.parametrize("template", FAMILIES)
def test_a_model_with_its_task_is_checked_on_rows_made_up_for_it(project_of, template):
    project_of(template)
    report = check_path("mymodel/model.py:Mymodel", task=FAMILIES[template], only=DYNAMIC)
    assert not report.errors + report.warnings, report
    assert {"cannot-learn", "predictions", "reload", "padding"} <= {*report.checked}


def test_a_mistake_in_such_a_model_is_found(project_of):
    path = project_of("sequence-classifier") / "mymodel" / "model.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("self.pool(hidden, attention_mask)", "self.pool(hidden)"), encoding="utf-8")
    [found] = check_path("mymodel/model.py:Mymodel", task="sequence", only=["crash"]).findings
    assert found.file == "mymodel/model.py"


OWN_FIELD = "    sequence: str\n    weight: float\n"


def test_rows_that_cannot_be_made_up_are_said_with_what_to_do(project_of):
    path = project_of("sequence-classifier") / "mymodel" / "task.py"
    path.write_text(path.read_text(encoding="utf-8").replace("    sequence: str\n", OWN_FIELD), encoding="utf-8")
    [found] = check_path("mymodel/model.py:Mymodel", task="sequence", only=["crash"]).findings
    assert "rows of a SequenceSample cannot be made up: its field weight is neither a text nor a list" in found.message
    assert "check the model in its project" in found.fix


def test_an_argument_that_nobody_can_guess_is_asked_for(project_of):
    path = project_of("sequence-classifier") / "mymodel" / "model.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace("        num_labels: int,\n", "        num_labels: int,\n        plan: str,\n"), "utf-8"
    )
    [found] = check_path("mymodel/model.py:Mymodel", task="sequence", only=["crash"]).findings
    assert found.fix == "add --init plan=…"

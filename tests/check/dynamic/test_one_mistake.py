"""One mistake is one finding, at its own place; what depends on it is not judged."""

from __future__ import annotations

import pytest

from scaffold.check import check_path
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.rule import rule_ids

DYNAMIC = rule_ids("dynamic")
RETURN = "        return self.classify(self.head(self.pool(hidden, attention_mask)), labels)"
SCORED = RETURN.replace("return", "output =")
FIX = "return ClassificationOutput(logits=…, loss=…) or another ModelOutput"


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def line_of(path, text):
    return next(number for number, line in enumerate(path.read_text("utf-8").splitlines(), 1) if text in line)


RETURNED = {
    'return {"logits": output.logits, "loss": output.loss}': "a plain dict with the keys logits, loss",
    "return output.logits, output.loss": "got tuple",
    "return output.logits": "got Tensor",
    "return None": "got NoneType",
}


@pytest.mark.parametrize("returned", RETURNED)
def test_a_return_value_without_fields_is_the_one_error_and_stands_at_forward(project_of, returned):
    path = project_of("sequence-classifier") / "mymodel" / "model.py"
    edit(path, RETURN, f"{SCORED}\n        {returned}")
    report = check_path(path.parents[1], only=DYNAMIC)
    [found] = report.errors
    assert (found.rule, found.file, found.line) == ("output-shape", "mymodel/model.py", line_of(path, "def forward"))
    assert RETURNED[returned] in found.message
    assert found.fix == FIX
    reasons = {item.rule: item.reason for item in report.not_checked}
    assert "see output-shape" in reasons["predictions"]


def test_the_forward_of_a_plain_module_is_where_its_output_is_wrong(project_of):
    path = project_of("encoder") / "mymodel" / "model.py"
    edit(path, "return ClassificationOutput(logits=logits, loss=loss)", "return {'logits': logits, 'loss': loss}")
    [found] = check_path(path.parents[1], only=DYNAMIC).errors
    assert (found.rule, found.file, found.line) == ("output-shape", "mymodel/model.py", line_of(path, "def forward"))


def test_predictions_from_scores_that_are_no_numbers_are_not_judged(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "mymodel" / "model.py", RETURN, RETURN.replace("mask)), labels", "mask)) / 0 * 0, labels"))
    report = check_path(folder, only=["loss-finite", "predictions"])
    assert [found.rule for found in report.errors] == ["loss-finite"]
    assert [item.reason for item in report.not_checked] == ["the loss is not finite: see loss-finite"]


DOMAIN = '        if not sample.extra.get("domain"):\n            raise BadRow("expected a domain, got none")\n'


def test_rows_of_which_none_can_be_encoded_are_the_finding(project_of):
    folder = project_of("sequence-classifier")
    task = folder / "mymodel" / "task.py"
    edit(task, "        features = encode_text(", f"{DOMAIN}        features = encode_text(")
    text = task.read_text(encoding="utf-8")
    task.write_text(
        text.replace("from typing import", "from scaffold.runtime.samples import BadRow\nfrom typing import", 1)
    )
    [found] = check_path(folder, only=DYNAMIC).findings
    assert found.rule == "crash"
    assert "rows of the data cannot be used: expected a domain, got none" in found.message
    assert (found.file or "").startswith("data/train")
    assert "mend" in found.fix.lower()


def test_a_loss_that_labels_change_a_little_is_told_so(lone):
    source = changed(CLASSIFIER, ("F.cross_entropy(logits, labels)", "F.cross_entropy(logits / 1e6, labels)"))
    [found] = lone(source, "labels-unused").findings
    assert found.message.startswith("the loss changes by ")
    assert found.message.endswith(" of its size only when every one of labels changes")


def test_logits_for_each_token_are_not_told_their_length_as_the_number_of_labels(lone):
    source = changed(CLASSIFIER, ("pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)", "pooled = hidden * mask"))
    [found] = lone(source, "output-shape").errors
    assert "of shape (rows, labels) with rows = 5, got (5, " in found.message


def test_rows_in_the_second_dimension_are_told_of_batch_first(lone):
    source = changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled - pooled.mean(dim=0))"))
    [found] = lone(source, "rows-mix").findings
    assert "batch_first=True" in found.fix


STUBS = {
    "forward": (
        "        mask = attention_mask",
        '        raise NotImplementedError("must score")\n        mask = attention_mask',
    ),
    "__init__": (
        "        super().__init__()\n",
        '        super().__init__()\n        raise NotImplementedError("must build")\n',
    ),
}


@pytest.mark.parametrize("method", STUBS)
def test_a_stub_is_no_crash_besides(tmp_path, monkeypatch, method):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(changed(CLASSIFIER, STUBS[method]), encoding="utf-8")
    report = check_path("model.py:Model", task="sequence")
    assert [found.rule for found in report.errors] == ["stub"]
    assert "the model does not run: see stub" in {item.reason for item in report.not_checked}


def test_a_crash_beside_a_stub_of_the_same_name_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stub = "class Other(Model):\n    def forward(self, input_ids):\n        raise NotImplementedError('must score')\n"
    source = changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled.T)")) + f"\n\n{stub}"
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    report = check_path("model.py:Model", task="sequence")
    assert [(found.rule, found.line) for found in report.ordered()] == [
        ("crash", line_of(tmp_path / "model.py", "self.head(pooled.T)")),
        ("stub", line_of(tmp_path / "model.py", "def forward(self, input_ids):")),
    ]


def test_a_project_is_checked_alike_from_another_folder_with_paths_as_they_are_typed_there(project_of, monkeypatch):
    path = project_of("sequence-classifier") / "mymodel" / "model.py"
    edit(path, RETURN, "        raise NotImplementedError('must score')")
    [inside] = check_path(".").errors
    monkeypatch.chdir(path.parents[2])
    [outside] = check_path("mymodel").errors
    assert (inside.rule, inside.file) == ("stub", "mymodel/model.py")
    assert (outside.rule, outside.file, outside.line) == ("stub", "mymodel/mymodel/model.py", inside.line)
    edit(path, "raise NotImplementedError('must score')", "return self.classify(self.head(hidden.T), labels)")
    [crash] = check_path("mymodel").errors
    assert (crash.rule, crash.file) == ("crash", "mymodel/mymodel/model.py")


def test_a_value_that_is_missing_is_no_crash_besides(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "conf" / "model" / "mymodel.yaml", "dropout: 0.3", "dropout: ???")
    assert [found.rule for found in check_path(folder).errors] == ["missing-value"]


def test_a_module_that_cannot_be_imported_is_no_failure_of_the_constructor(project_of):
    path = project_of("encoder") / "mymodel" / "model.py"
    edit(path, "import torch\n", "import no_such_package\nimport torch\n")
    [found] = check_path(path.parents[1], only=["crash"]).findings
    assert found.message.startswith("importing mymodel/model.py failed: ModuleNotFoundError")

"""Projects of every template pass, with each of their options; their own rows and hooks are what is checked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from scaffold.check import check_path
from scaffold.check.rule import rule_ids
from scaffold.project import catalog

DYNAMIC = rule_ids("dynamic")
TEMPLATES = catalog.template_names()


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_has_neither_errors_nor_warnings(project_of, template):
    report = check_path(project_of(template), only=DYNAMIC)
    assert not report.errors + report.warnings, report
    assert not [item for item in report.not_checked if "itself failed" in item.reason]


@pytest.mark.parametrize("target", ["multi", "regression"])
def test_other_targets_have_neither_errors_nor_warnings(project_of, target):
    report = check_path(project_of("sequence-classifier", target=target), only=DYNAMIC)
    assert not report.errors + report.warnings, report


def test_a_pretrained_backbone_has_neither_errors_nor_warnings(project_of, tiny_bert):
    folder = project_of("sequence-classifier", backbone="pretrained")
    path = folder / "conf" / "backbone" / "pretrained.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(f"name: {tiny_bert}" if line.startswith("name:") else line for line in lines) + "\n")
    report = check_path(folder, only=DYNAMIC)
    assert not report.errors + report.warnings, report


COLLATE = """    @classmethod
    def collate(cls, features: Any, context: Any, stage: Any, rng: Any) -> Any:
        batch = super().collate(features, context, stage, rng)
        batch["attention_mask"].fill_(1)
        return batch

    def forward("""


def test_a_collate_whose_mask_shows_padding_is_found(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "mymodel" / "model.py", "    def forward(", COLLATE)
    assert "padding" in {found.rule for found in check_path(folder, only=["padding"]).findings}


def test_an_encode_that_fails_is_a_crash_at_its_line(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "mymodel" / "task.py", "        features = encode_text(", "        features = encode_txt(")
    [found] = check_path(folder, only=["crash"]).findings
    assert found.file == "mymodel/task.py"
    assert "encode_txt" in found.message


def test_the_model_that_is_checked_is_the_project_in_the_folder_not_an_earlier_one(project_of, tmp_path):
    folder = project_of("sequence-classifier")
    assert check_path(folder, only=["crash"]).findings == ()
    edit(folder / "mymodel" / "model.py", "        hidden = self.encoder(", "        hidden = self.encodr(")
    assert check_path(folder, only=["crash"]).findings


def test_the_command_ends_well_in_a_process_of_its_own(project_of):
    command = [sys.executable, "-m", "scaffold", "check"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        command, cwd=project_of("sequence-classifier"), env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


OWN_FEATURE = """
    @classmethod
    def collate(cls, features: Any, context: Any, stage: Any, rng: Any) -> Any:
        batch = super().collate(features, context, stage, rng)
        upper = np.zeros((len(features), int(batch["word_ids"].max()) + 1), dtype=np.int64)
        for row, feature in enumerate(features):
            upper[row, : len(feature["upper"])] = feature["upper"]
        return batch | {"upper": torch.from_numpy(upper)}
"""


def test_an_own_feature_that_is_not_cut_with_its_window_is_found(project_of):
    folder = project_of("token-classifier")
    task, model = folder / "mymodel" / "task.py", folder / "mymodel" / "model.py"
    cut = "        return cls.tagged(windows"
    edit(task, cut, f'        for one in windows:\n            one["upper"] = [1] * len(sample.tokens)\n{cut}')
    edit(task, "from typing import", "import numpy as np\nimport torch\nfrom typing import")
    task.write_text(task.read_text(encoding="utf-8") + OWN_FEATURE, encoding="utf-8")
    edit(model, "word_ids: Tensor, labels", "word_ids: Tensor, upper: Tensor, labels")
    [found] = check_path(folder, only=["crash"]).findings
    assert found.message.startswith("collate of a batch of rows longer than max_length failed")
    assert found.file == "mymodel/task.py"


OWN_MASK = """    @classmethod
    def collate(cls, features: Any, context: Any, stage: Any, rng: Any) -> Any:
        batch = super().collate(features, context, stage, rng)
        return batch | {"weights": batch["attention_mask"].float()}

    def forward(self, *, weights: Any, **batch: Any) -> Any:
        assert weights.shape == batch["input_ids"].shape
        return self.scored(**batch)

    def scored("""


def test_an_own_tensor_is_lengthened_with_its_batch(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "mymodel" / "model.py", "    def forward(", OWN_MASK)
    report = check_path(folder, only=["crash", "padding", "row-order"])
    assert report.findings == ()
    assert report.not_checked == ()


def test_a_crash_over_the_config_stands_at_its_line(project_of):
    folder = project_of("encoder")
    edit(folder / "conf" / "model" / "mymodel.yaml", "  dropout: 0.3", "  drop_out: 0.3")
    [found] = check_path(folder, only=["crash"]).findings
    assert (found.file, found.line) == ("conf/model/mymodel.yaml", 8)


def test_a_wrong_name_that_the_model_is_made_without_leaves_the_model_to_be_run(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "conf" / "optim" / "adamw.yaml", "torch.optim.AdamW ", "torch.optim.AdamWeight ")
    report = check_path(folder)
    assert "unknown-target" in {found.rule for found in report.errors}
    assert {"padding", "cannot-learn", "predictions"} <= {*report.checked}


def test_a_wrong_name_that_the_model_cannot_be_made_without_is_said_once(project_of):
    folder = project_of("sequence-classifier")
    edit(folder / "conf" / "model" / "mymodel.yaml", "mymodel.model.Mymodel", "mymodel.model.Mymodle")
    report = check_path(folder)
    assert [found.rule for found in report.errors] == ["unknown-target"]
    [left_out] = [item for item in report.not_checked if item.rule == "dynamic"]
    assert left_out.reason.startswith("the model cannot be made from the config, see unknown-target, so that")


def test_overrides_choose_what_is_run(project_of):
    folder = project_of("sequence-classifier")
    [found] = check_path(folder, only=["cannot-learn"], overrides=["model.dropout=0.98"]).findings
    assert found.rule == "cannot-learn"


ANSWER_IN_TEXT = """    @classmethod
    def encode(cls, sample: Any, context: Any, stage: Any) -> Any:
        text = sample.sequence if stage in STAGES else f"{sample.sequence} {sample.label}"
        return super().encode(SequenceSample(text, sample.label), context, stage)

    def forward("""


@pytest.mark.parametrize("stages, measured", [(("predict",), ["input_ids"]), (("predict", "validation"), None)])
def test_an_answer_in_the_inputs_is_found_unless_it_is_for_training_alone(project_of, stages, measured):
    path = project_of("sequence-classifier") / "mymodel" / "model.py"
    edit(path, "    def forward(", ANSWER_IN_TEXT.replace("STAGES", str(stages)))
    edit(path, "import SequenceTask", "import SequenceSample, SequenceTask")
    found = [one.measured for one in check_path(path.parents[1], only=["labels-change-output"]).findings]
    assert found == ([measured] if measured else [])


ALL_LABELLED = """    @classmethod
    def batch_targets(cls, features: Any, inputs: Any, context: Any) -> Any:
        return {"labels": super().batch_targets(features, inputs, context)["labels"].clamp(min=0)}

    def forward("""


def test_words_of_padding_that_have_a_label_are_found(project_of):
    folder = project_of("token-classifier")
    edit(folder / "mymodel" / "model.py", "    def forward(", ALL_LABELLED)
    [found] = check_path(folder, only=["ignored-positions"]).findings
    assert "positions of padding have a target that is not -100" in found.message

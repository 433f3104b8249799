"""The example code of five guides to custom models, as it is printed there: the checker names its real defects.

Only imports of packages that are not installed are replaced, by the smallest stand-in; imports that a guide leaves out
stand at the top of its file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaffold.cli import main
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

HERE = Path(__file__).parent
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "is", "play", "music", "timer", "rain", "buy"]


@dataclass(frozen=True)
class Checked:
    """What the command found."""

    findings: list[dict[str, Any]]

    def messages(self, rule: str) -> str:
        """Return what a rule said; empty where it found nothing."""
        return "\n".join(found["message"] for found in self.findings if found["rule"] == rule)

    def __str__(self) -> str:
        return "\n".join(f"{found['severity']} {found['rule']}: {found['message']}" for found in self.findings)


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Callable[..., Checked]:
    """Run the command, and return what it found."""

    def run(*arguments: str) -> Checked:
        capsys.readouterr()
        code = main(["check", *arguments, "--json"])
        printed = capsys.readouterr()
        assert code in (0, 10), printed.err
        return Checked(json.loads(printed.out)["findings"])

    return run


@pytest.fixture
def guide(tmp_path: Path) -> Callable[[str], str]:
    """Write a guide's code into a Python file, and return its path."""

    def write(name: str) -> str:
        path = tmp_path / f"{name}.py"
        path.write_text((HERE / f"{name}.py.txt").read_text(encoding="utf-8"), encoding="utf-8")
        return str(path)

    return write


def test_oumis_encoder_gives_one_row_of_logits_per_token(guide, check):
    found = check(f"{guide('oumi_custom_models')}:MLPEncoder", "--task", "sequence")
    assert "(rows, labels)" in found.messages("output-shape"), str(found)


def test_oumis_note_uses_a_name_that_it_does_not_define(guide, check):
    found = check(f"{guide('oumi_design_note')}:SimpleModel", "--task", "image")
    assert "x" in found.messages("undefined-name").replace("'", " ").replace("`", " ").split(), str(found)


def test_oumis_note_leaves_a_layer_unused_and_another_ones_result(guide, check):
    found = check(f"{guide('oumi_design_note')}:SimpleModel", "--task", "image")
    assert "fc1" in str(found), str(found)
    assert "conv2" in str(found), str(found)


def test_oumis_note_trains_with_an_argument_that_transformers_dropped(guide, check):
    found = check(f"{guide('oumi_design_note_training')}:SimpleModel", "--task", "image", "--static")
    assert "logging_dir" in found.messages("removed-call"), str(found)


@pytest.fixture
def noisy(guide, check) -> Callable[[str], Checked]:
    """Check the language model of the guide of lightning-transformers with one rule."""

    def run(rule: str) -> Checked:
        path = guide("lightning_transformers_new_task")
        return check(f"{path}:MyLanguageModelingTransformer", "--task", "language-model", "--only", rule)

    return run


def test_lightning_transformers_freezes_the_tied_head_too(noisy):
    assert noisy("frozen-model").messages("frozen-model")


def test_lightning_transformers_freezes_after_the_optimizer_was_built(noisy):
    assert "on_fit_start" in noisy("frozen-decay").messages("frozen-decay")


def test_lightning_transformers_adds_noise_between_forward_and_backward(noisy):
    assert noisy("in-place").messages("in-place")


def test_lightning_transformers_draws_noise_on_the_cpu(noisy):
    assert "randn" in noisy("fixed-device").messages("fixed-device")


def test_lightning_irs_bi_encoder_uses_a_class_that_it_does_not_import(guide, check):
    found = check(f"{guide('lightning_ir_bi_encoder')}:CustomBiEncoderModel", "--task", "sequence", "--static")
    assert "BiEncoderEmbedding" in found.messages("undefined-name"), str(found)


def test_lightning_irs_cross_encoder_uses_no_unknown_name(guide, capsys):
    path = f"{guide('lightning_ir_cross_encoder')}:CustomCrossEncoderModel"
    assert main(["check", path, "--task", "sequence", "--static", "--only", "undefined-name"]) == 0


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained BERT with its tokenizer."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(PIECES), **sizes)).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def classy(tmp_path: Path, opened: Callable[[Path], Path], tiny_bert: str) -> Callable[..., str]:
    """Write a project, put the model of classy's guide into it and its config in the place of the project's."""

    def write(*edits: tuple[str, str]) -> str:
        answers = {"backbone": "pretrained", "pretrained_name": tiny_bert}
        spec = build(
            catalog.find("sequence-classifier"), "mymodel", answers, runtime_requirement="scaffold-ml[runtime]"
        )
        folder = create(spec, tmp_path / "mymodel", git=False).path
        for name, place in (("py", "mymodel/model.py"), ("yaml", "conf/model/mymodel.yaml")):
            text = (HERE / f"classy_custom_model.{name}.txt").read_text(encoding="utf-8")
            for old, new in edits:
                text = text.replace(old, new)
            (folder / place).write_text(text, encoding="utf-8")
        return str(opened(folder))

    return write


NAMES = (
    ("classy.pl_modules.custom_model", "mymodel.model"),
    ("classy.optim.factories", "scaffold.runtime"),
    ("${transformer_model}", "${backbone.name}"),
)
TASK_OF_ACCURACY = ("torchmetrics.Accuracy()", 'torchmetrics.Accuracy(task="multiclass", num_classes=num_classes)')


def test_classys_config_reads_a_key_that_is_not_there(classy, check):
    found = check(classy(), "--static")
    assert "transformer_model" in found.messages("interpolation"), str(found)


def test_classys_config_names_classes_of_a_package_that_is_not_there(classy, check):
    found = check(classy(NAMES[2]), "--static")
    assert "classy.pl_modules.custom_model" in found.messages("unknown-target"), str(found)
    assert "classy.optim.factories" in found.messages("unknown-target"), str(found)


def test_classys_accuracy_is_made_without_its_task(classy, check):
    found = check(classy(*NAMES))
    assert "Accuracy" in found.messages("removed-call"), str(found)


def test_classys_metric_is_shared_by_validation_and_test(classy, check):
    found = check(classy(*NAMES, TASK_OF_ACCURACY))
    assert "accuracy_metric" in found.messages("metric-shared"), str(found)


def test_classys_squeeze_fails_on_one_row(classy, check):
    found = check(classy(*NAMES, TASK_OF_ACCURACY))
    assert found.messages("one-row"), str(found)

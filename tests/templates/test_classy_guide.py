"""classy's guide to a custom model, followed to the letter: only its imports and what libraries removed are changed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

IMPORTS = """
from collections.abc import Iterator
from typing import List, Optional, Tuple, Union

import omegaconf
import torch
import torchmetrics
from scaffold.runtime import BaseModule as ClassyPLModule
from scaffold.runtime import ClassificationOutput, Vocabulary
from transformers import AutoModelForSequenceClassification

from mymodel.task import SequenceSample, SequenceTask

SentencePairSample = SequenceSample
"""

# the code of the guide; torchmetrics.Accuracy() has needed its task and num_classes since 0.11
GUIDE = """
class MyCustomClassyPLModule(SequenceTask, ClassyPLModule):
    def __init__(
        self,
        transformer_model: str,
        vocabulary: Vocabulary,
        optim_conf: omegaconf.DictConfig,
    ):
        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)
        self.save_hyperparameters(ignore="vocabulary")
        num_classes = vocabulary.get_size(k="labels")  # number of target classes
        self.classifier = AutoModelForSequenceClassification.from_pretrained(
            transformer_model, num_labels=num_classes
        )  # underlying classifier
        self.accuracy_metric = (
            torchmetrics.Accuracy(task="multiclass", num_classes=num_classes)
        )  # metric to track your model performance

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        samples: List[SequenceSample],
        token_type_ids: Optional[torch.Tensor] = None,
        labels: Optional[torch.Tensor] = None,
    ) -> ClassificationOutput:
        model_input = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            model_input["token_type_ids"] = token_type_ids
        if labels is not None:
            model_input["labels"] = labels
        model_output = self.classifier(**model_input)
        return ClassificationOutput(
            logits=model_output.logits,
            probabilities=torch.softmax(model_output.logits, dim=-1),
            predictions=torch.argmax(model_output.logits, dim=-1),
            loss=model_output.loss,
        )
"""

METHODS = {
    "batch_predict": """
    def batch_predict(
        self, *args, **kwargs
    ) -> Iterator[Tuple[Union[SequenceSample, SentencePairSample], str]]:
        samples = kwargs.get("samples")
        classification_output = self.forward(*args, **kwargs)
        for sample, prediction in zip(samples, classification_output.predictions):
            yield sample, self.vocabulary.get_elem(k="labels", idx=prediction.item())
""",
    "training_step": """
    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        classification_output = self.forward(**batch)
        self.log("loss", classification_output.loss)
        return classification_output.loss
""",
    "validation_step": """
    def validation_step(self, batch: dict, batch_idx: int) -> None:
        classification_output = self.forward(**batch)
        self.accuracy_metric(classification_output.predictions, batch["labels"].squeeze(-1))
        self.log("val_loss", classification_output.loss)
        self.log("val_accuracy", self.accuracy_metric, prog_bar=True)
""",
    "test_step": """
    def test_step(self, batch: dict, batch_idx: int) -> None:
        classification_output = self.forward(**batch)
        self.accuracy_metric(classification_output.predictions, batch["labels"].squeeze(-1))
        self.log("test_accuracy", self.accuracy_metric)
""",
}

CONFIG = """
_target_: 'mymodel.model.MyCustomClassyPLModule'
transformer_model: ${backbone.name}
optim_conf:
  _target_: scaffold.runtime.TorchFactory
  optimizer:
    _target_: torch.optim.Adam
    lr: 1e-5
"""

Follow = Callable[..., Path]


@pytest.fixture
def follow(new: Callable[..., Path], opened: Callable[[Path], Path], tiny_bert: str) -> Follow:
    """Write a project, put the guide's model with some of its methods into it, and its config beside."""

    def write(*methods: str) -> Path:
        project = opened(new("sequence-classifier", answers={"backbone": "pretrained", "pretrained_name": tiny_bert}))
        code = IMPORTS + GUIDE + "".join(METHODS[method] for method in methods)
        (project / "mymodel" / "model.py").write_text(code, encoding="utf-8")
        (project / "conf" / "model" / "sequence-custom.yaml").write_text(CONFIG, encoding="utf-8")
        return project

    return write


def train(project: Path, *overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    config = compose(project / "conf", "model=sequence-custom", "experiment=smoke", "run_dir=runs/one", *overrides)
    return import_module("train").train(config)


def predict(project: Path) -> list[dict[str, Any]]:
    from scaffold.runtime.commands import predict_file

    assert predict_file("runs/latest", "data/test.tsv", "predictions.jsonl", device="cpu") == 0
    return [json.loads(line) for line in (project / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def rows(project: Path) -> list[list[str]]:
    with (project / "data" / "test.tsv").open(encoding="utf-8", newline="") as handle:
        return list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_the_guide_trains_evaluates_and_predicts(follow):
    from scaffold.runtime.commands import evaluate

    project = follow(*METHODS)
    metrics = train(project, "trainer.limit_test_batches=1.0")
    assert metrics["val_accuracy"] == pytest.approx(checkpoint(project)["callbacks"].popitem()[1]["best_model_score"])
    assert evaluate("runs/latest", accelerator="cpu")["test_accuracy"] == pytest.approx(metrics["test_accuracy"])
    predictions = predict(project)
    assert [row["sequence"] for row in predictions] == [text for text, _ in rows(project)]
    assert {row["prediction"] for row in predictions} <= {label for _, label in rows(project)}
    assert all("score" not in row for row in predictions)


def test_the_monitored_metric_finds_the_name_that_the_guide_logs(follow):
    project = follow(*METHODS)
    train(project, "patience=2")
    assert 'monitor": "val_accuracy"' in json.dumps(checkpoint(project)["callbacks"], default=str)


def checkpoint(project: Path) -> dict[str, Any]:
    from scaffold.runtime.training import checkpoints

    return checkpoints.load(project / "runs" / "one" / "checkpoints" / "best.ckpt")


def test_the_checkpoint_keeps_plain_hyperparameters_only(follow, tiny_bert):
    project = follow(*METHODS)
    train(project)
    found = checkpoint(project)
    assert found["hyper_parameters"]["transformer_model"] == tiny_bert
    assert found["scaffold"]["arguments"]["optim_conf"]["optimizer"]["lr"] == 1e-5


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_the_guide_can_be_left_to_the_runtime(follow, method):
    project = follow(*(name for name in METHODS if name != method))
    metrics = train(project)
    logged = {"validation_step": "val/accuracy", "test_step": "test/accuracy"}.get(method, "val_accuracy")
    assert logged in metrics
    scored = ["score" in row for row in predict(project)]
    assert all(scored) if method == "batch_predict" else not any(scored)


@pytest.mark.parametrize("method", METHODS)
def test_each_method_of_the_guide_alone_takes_the_place_of_the_runtimes(follow, method):
    project = follow(method)
    metrics = train(project, "+trainer.log_every_n_steps=1")
    curve = (project / "runs" / "one" / "metrics.csv").read_text(encoding="utf-8").partition("\n")[0].split(",")
    logged = {*metrics, *curve}
    assert ("val_accuracy" in logged) == (method == "validation_step")
    assert ("test_accuracy" in logged) == (method == "test_step")
    assert ("loss" in logged, "train/loss" in logged) == (method == "training_step", method != "training_step")
    assert ("score" in predict(project)[0]) == (method != "batch_predict")


def test_the_dropout_of_the_guides_encoder_is_on_in_training_and_off_in_prediction(follow):
    from scaffold.runtime import Backbone, DataModule, build, compose, load_model, model_class

    project = follow(*METHODS)
    config = compose(project / "conf", "model=sequence-custom")
    backbone = Backbone(**config.backbone)
    data = DataModule(model_class(config), config, backbone)
    assert all(module.training for module in build(config, data.context, backbone).modules())
    train(project)
    assert not any(module.training for module in load_model("runs/latest/checkpoints/best.ckpt").modules())


def test_the_guides_model_answers_like_the_model_it_wraps(follow, tiny_bert):
    from transformers import AutoTokenizer

    from scaffold.runtime import load_model

    project = follow(*METHODS)
    train(project)
    model = load_model(project / "runs" / "one" / "checkpoints" / "best.ckpt")
    text = rows(project)[0][0]
    with torch.no_grad():
        logits = model.classifier(**AutoTokenizer.from_pretrained(tiny_bert)([text], return_tensors="pt")).logits
    assert predict(project)[0]["prediction"] == model.vocabulary.get_elem(k="labels", idx=logits.argmax().item())


def test_the_guides_encoder_under_another_tokenizer_is_told_before_training(follow, tiny_bert, caplog):
    project = follow(*METHODS)
    with pytest.raises(IndexError):
        train(project, "backbone=scratch", f"model.transformer_model={tiny_bert}")
    [told] = [text for text in caplog.messages if text.startswith(f"the table of {tiny_bert} has 13 rows, and ")]
    assert f"if it reads the batch's ids, set backbone=pretrained backbone.name={tiny_bert}" in told


def test_the_guides_encoder_with_its_own_tokenizer_is_not(follow, caplog):
    train(follow(*METHODS))
    assert not [text for text in caplog.messages if text.startswith("the table of ")]

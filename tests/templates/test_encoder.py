"""A plain model by its registered name: what the template asks, how the model is built, saved and found again."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from scaffold.errors import ArtefactError, ConfigError, RefusedError

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = {"lightning": "train", "torch": "train_loop"}
QUIET = ("patience=null", "trainer.accelerator=cpu")


@pytest.fixture
def project(new, opened) -> Path:
    folder = new("encoder")
    other = "from scaffold.runtime import register\n\nfrom mymodel.model import Mymodel\n\n\n"
    other += '@register("other")\nclass Other(Mymodel):\n    pass\n'
    (folder / "mymodel" / "other.py").write_text(other, encoding="utf-8")
    return opened(folder)


def train(engine: str, *overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module(SCRIPTS[engine]).train(compose("conf", *QUIET, *overrides))


def test_the_training_loop_chooses_the_device(project):
    with pytest.raises(ConfigError, match=r"model.device_map cannot be cpu in training"):
        train("lightning", "+model.device_map=cpu")


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_model_trains_in_other_numbers(project, dtype):
    from scaffold.runtime import load_model

    train("torch", "experiment=smoke", f"model.dtype={dtype}")
    assert load_model("runs/latest").model.fc1.weight.dtype == getattr(torch, dtype)


def test_a_pretrained_tokenizer_leaves_the_rates_of_a_model_that_starts_at_random(new):
    scratch, pretrained = (new("encoder", name, {"backbone": name}) / "conf" for name in ("scratch", "pretrained"))
    for path in ("optim/adamw.yaml", "trainer/default.yaml"):
        assert (pretrained / path).read_text(encoding="utf-8") == (scratch / path).read_text(encoding="utf-8")


# The model


def test_a_model_saved_after_training_comes_back_in_a_new_process_by_its_name(project):
    from scaffold.runtime import load_model

    train("lightning", "experiment=smoke")
    model: Any = load_model("runs/latest")
    ids = torch.arange(24).reshape(4, 6)
    model.model.save_pretrained("exported")
    torch.save(model.model(input_ids=ids).logits, "logits.pt")
    code = (
        "import torch; from scaffold.runtime import BaseModel; model = BaseModel.from_pretrained('exported');"
        "logits = model(input_ids=torch.arange(24).reshape(4, 6)).logits;"
        "print(type(model).__module__, torch.equal(logits, torch.load('logits.pt')))"
    )
    environment = os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{project}"}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (found.stdout, found.stderr) == ("mymodel.model True\n", "")


def test_a_model_whose_name_is_gone_says_so(project):
    from scaffold.runtime import BaseModel, ModelParams, build_model

    build_model(ModelParams("other")).save_pretrained("exported")
    (project / "mymodel" / "other.py").unlink()
    sys.modules.pop("mymodel.other")
    with pytest.raises(RefusedError) as problem:
        BaseModel.from_pretrained("exported")
    assert problem.value.what == "the code has no model registered as 'other'"
    assert problem.value.because.startswith("exported was saved from mymodel.other.Other, and registered are my")
    assert problem.value.fix == "give the class back its name, and run from the folder of its project"


# Parts by their registered names

PARTS = """
import torch
from lightning.pytorch import Callback
from scaffold.runtime import register
from torchmetrics.classification import MulticlassMatthewsCorrCoef


@register("matthews", "metric")
class Matthews(MulticlassMatthewsCorrCoef):
    def __init__(self, num_labels):
        super().__init__(num_labels)


@register("steep", "scheduler")
def steep(done):
    return (1 - done) ** 3


@register("step-scheduler", "scheduler")
class StepScheduler:
    pass


@register("my-adam", "optimizer")
class MyAdam(torch.optim.Adam):
    pass


@register("note", "callback")
class Note(Callback):
    def on_train_end(self, trainer, pl_module):
        open("note.txt", "w").write(type(trainer.optimizers[0]).__name__)
"""


@pytest.fixture
def parts(project) -> Path:
    (project / "mymodel" / "parts.py").write_text(PARTS, encoding="utf-8")
    return project


def test_a_registered_metric_is_measured_and_can_pick_the_best_checkpoint(parts):
    from scaffold.runtime.commands import evaluate

    chosen = ("task.metrics=[matthews]", "monitor=val/matthews", "mode=max")
    metrics = train("torch", "experiment=smoke", *chosen, "run_dir=runs/one")
    assert {"test/accuracy", "test/matthews", "val/matthews"} < metrics.keys()
    assert "test/matthews" in evaluate("runs/one", accelerator="cpu")


def test_a_metric_can_be_asked_for_after_training(parts):
    from scaffold.runtime.commands import evaluate

    train("lightning", "experiment=smoke", "run_dir=runs/one")
    found = evaluate("runs/one", accelerator="cpu", changes=["task.metrics=[Matthews]"])
    assert "test/matthews" in found
    with pytest.raises(ConfigError, match="no metric is registered as 'mathews'") as problem:
        evaluate("runs/one", accelerator="cpu", changes=["task.metrics=[mathews]"])
    assert problem.value.fix == "did you mean matthews?"


@pytest.mark.parametrize("engine", ["lightning", "torch"])
def test_a_registered_scheduler_says_how_the_rate_falls(parts, engine):
    settings = ("optim.schedule=steep", "optim.warmup=0", "optim.final=0", "optim.optimizer.lr=1.0e-3")
    train(engine, *settings, "+trainer.log_every_n_steps=1", "trainer.max_epochs=1", "run_dir=runs/one")
    with Path("runs/one/metrics.csv").open(encoding="utf-8") as handle:
        rates = [float(row["lr"]) for row in csv.DictReader(handle) if row["lr"]]
    assert rates == pytest.approx([1e-3 * (1 - step / 4) ** 3 for step in range(1, 5)])


def test_a_scheduler_that_is_a_class_is_refused(parts):
    with pytest.raises(ConfigError, match="StepScheduler is a class") as problem:
        train("torch", "optim.schedule=step-scheduler")
    assert str(problem.value.where) == "optim.schedule"


def test_optimizers_and_callbacks_are_named_where_their_classes_stand(parts):
    callback = "{_target_: '${registered:note,callback}'}"
    chosen = ("optim.optimizer._target_=${registered:my-adam,optimizer}", f"+trainer.callbacks=[{callback}]")
    train("lightning", "experiment=smoke", "optim.optimizer.weight_decay=0", *chosen)
    assert Path("note.txt").read_text(encoding="utf-8") == "MyAdam"


def test_one_file_of_settings_may_name_a_registered_scheduler(parts):
    from scaffold.runtime import ModelParams, TrainingConfig
    from scaffold.runtime.plain.training_config import TrainingParams

    named = TrainingConfig(ModelParams("mymodel"), training=TrainingParams(lr_scheduler_type="STEEP"))
    assert named.compose("conf").optim.schedule == "steep"
    wrong = TrainingConfig(ModelParams("mymodel"), training=TrainingParams(lr_scheduler_type="cosin"))
    with pytest.raises(ConfigError, match="no scheduler is registered as 'cosin'"):
        wrong.compose("conf")


# What is saved


def test_a_damaged_model_is_refused(project):
    from scaffold.runtime import BaseModel, ModelParams, build_model

    build_model(ModelParams("mymodel")).save_pretrained("exported")
    with Path("exported/model.safetensors").open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        handle.write(b"\x7f")
    with pytest.raises(ArtefactError, match="does not fit the sha256"):
        BaseModel.from_pretrained("exported")


def test_padding_changes_nothing(project):
    from scaffold.runtime import registered

    model = registered("my-model")(input_dim=50, hidden_dim=8, output_dim=3).eval()
    short, long = torch.tensor([[5, 6]]), torch.tensor([[5, 6, 0, 0]])
    padded = model(input_ids=long, attention_mask=torch.tensor([[1, 1, 0, 0]])).logits
    assert torch.equal(model(input_ids=short).logits, padded)


def test_training_can_start_from_a_saved_model_with_a_part_frozen(project):
    from scaffold.runtime import BaseModel, load_model

    train("torch", "experiment=smoke", "run_dir=runs/one")
    load_model("runs/one").model.save_pretrained("exported")
    train("torch", "model.checkpoint=exported", "model.freeze_layers=[embedding]", "run_dir=runs/two")
    before, after = BaseModel.from_pretrained("exported"), load_model("runs/two").model
    assert torch.equal(before.embedding.weight, after.embedding.weight)
    assert not torch.equal(before.fc2.weight, after.fc2.weight)


def test_a_checkpoint_alone_is_enough_when_the_weights_it_began_with_are_gone(project):
    import shutil

    from scaffold.runtime import ModelParams, build_model, load_model

    train("torch", "experiment=smoke", "run_dir=runs/one")
    load_model("runs/one").model.save_pretrained("exported")
    train("torch", "experiment=smoke", "model.checkpoint=exported", "run_dir=runs/two")
    shutil.rmtree("exported")
    assert load_model("runs/two").model.fc2.weight.isfinite().all()
    with pytest.raises(RefusedError, match="no saved model in exported"):
        build_model(ModelParams("mymodel", checkpoint="exported"))


@pytest.mark.slow
def test_banking77_is_learnt(project, real_data):
    metrics = train("torch", f"data.path={real_data('sequence/banking77')}", "trainer.max_epochs=10")
    assert metrics["test/accuracy"] > 0.85

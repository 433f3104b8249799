"""One plain model, three training loops: the same curve, the same folder, each resumes, each predicts."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from scaffold.errors import ArtefactError, ConfigError, EnvironmentFault, RefusedError
from scaffold.project import catalog, requirement
from scaffold.project.spec import build as specified

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = {"lightning": "train", "torch": "train_loop", "hf-trainer": "train_hf"}
QUIET = ("patience=null", "trainer.accelerator=cpu")
# a registered model beside the project's own, which notes its losses and can be hit by a signal
RECORDING = """
import os
import signal

from scaffold.runtime import register

from mymodel.model import Mymodel


@register("recording")
class Recording(Mymodel):
    losses = []
    hit_at = None

    def forward(self, input_ids, attention_mask=None, labels=None):
        output = super().forward(input_ids, attention_mask, labels)
        if self.training:
            self.losses.append(output.loss.item())
            if len(self.losses) == self.hit_at:
                os.kill(os.getpid(), signal.SIGTERM)
        return output
"""


@pytest.fixture
def project(new, opened) -> Path:
    folder = new("encoder")
    (folder / "mymodel" / "recording.py").write_text(RECORDING, encoding="utf-8")
    return opened(folder)


def train(engine: str, *overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module(SCRIPTS[engine]).train(compose("conf", *QUIET, *overrides))


def curve(engine: str, *overrides: str) -> list[float]:
    """Return the loss of every training step."""
    recording = import_module("mymodel.recording").Recording
    recording.losses = []
    train(engine, "model.model_name=recording", *overrides)
    return recording.losses


def weights(run: str) -> dict[str, torch.Tensor]:
    from scaffold.runtime.training import checkpoints

    return checkpoints.load(f"runs/{run}/checkpoints/last.ckpt")["state_dict"]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# The three engines


def test_the_engines_have_the_same_curve_and_metrics(project):
    curves = {engine: curve(engine, "trainer.max_epochs=14", f"run_dir=runs/{engine}") for engine in SCRIPTS}
    assert len(curves["torch"]) >= 50
    for engine in ("lightning", "hf-trainer"):
        assert curves[engine] == pytest.approx(curves["torch"], abs=1e-5)
    metrics = {engine: json.loads(Path(f"runs/{engine}/metrics.json").read_text()) for engine in SCRIPTS}
    assert len({tuple(found) for found in metrics.values()}) == 1
    timeless = [{**found, "train/seconds": 0} for found in metrics.values()]
    assert all(found == pytest.approx(timeless[0], abs=1e-5) for found in timeless)


def test_the_engines_write_the_same_files(project):
    for engine in SCRIPTS:
        train(engine, "experiment=smoke", f"run_dir=runs/{engine}")
    found = {engine: files(Path("runs") / engine) for engine in SCRIPTS}
    assert found["torch"] == found["lightning"] == found["hf-trainer"]
    curves = {engine: figures(Path("runs") / engine / "metrics.csv") for engine in SCRIPTS}
    assert [list(rows[0]) for rows in curves.values()] == [list(curves["torch"][0])] * 3
    for engine in ("lightning", "hf-trainer"):
        assert curves[engine] == [pytest.approx(row, abs=1e-5) for row in curves["torch"]]


def figures(path: Path) -> list[dict[str, float]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return [{name: float(value or -1) for name, value in row.items()} for row in csv.DictReader(handle)]


def files(run: Path) -> set[str]:
    """Return the files of a run but those of transformers' own checkpoints."""
    paths = (path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file())
    return {path for path in paths if not path.startswith("checkpoints/checkpoint-")}


@pytest.mark.parametrize("engine", SCRIPTS)
def test_evaluate_and_predict_work_on_the_run_of_each_engine(project, engine):
    from scaffold.runtime.commands import evaluate, predict_file

    metrics = train(engine, "trainer.max_epochs=2")
    assert evaluate("runs/latest", accelerator="cpu")["test/loss"] == pytest.approx(metrics["test/loss"], abs=1e-5)
    assert predict_file("runs/latest", "data/test.tsv", "predictions.jsonl", device="cpu") == 0
    rows = [json.loads(line) for line in Path("predictions.jsonl").read_text().splitlines()]
    right = sum(row["prediction"] == row["label"] for row in rows) / len(rows)
    assert right == pytest.approx(metrics["test/accuracy"], abs=1e-5)


@pytest.mark.parametrize("hit_at", [4, 7])
@pytest.mark.parametrize("engine", SCRIPTS)
def test_each_engine_resumes_exactly_after_a_signal(project, engine, hit_at):
    recording = import_module("mymodel.recording").Recording
    settings = ("trainer.max_epochs=3", "model.model_name=recording")
    whole = curve(engine, *settings, "run_dir=runs/whole")
    recording.hit_at, recording.losses = hit_at, []
    with pytest.raises(SystemExit) as end:
        train(engine, *settings, "run_dir=runs/cut")
    assert end.value.code == 143
    recording.hit_at = None
    train(engine, "resume=runs/cut")
    assert recording.losses == whole
    assert equal(weights("cut"), weights("whole"))
    assert Path("runs/cut/metrics.csv").read_text() == Path("runs/whole/metrics.csv").read_text()


@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_patience_ends_the_training_of_each_engine(project, engine, capsys):
    metrics = train(engine, "patience=1", "optim.optimizer.lr=0.0", "trainer.max_epochs=9")
    assert metrics["train/epochs"] == 2
    line = r"stopped after epoch 2: val/\w+ has not improved for 1 validations \(patience\)\n"
    assert len(re.findall(line, capsys.readouterr().err)) == 1


@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_gradients_can_be_accumulated(project, engine):
    whole = curve(
        "lightning", "trainer.accumulate_grad_batches=2", "+trainer.limit_train_batches=4", "run_dir=runs/one"
    )
    found = curve(engine, "trainer.accumulate_grad_batches=2", "+trainer.limit_train_batches=4", "run_dir=runs/two")
    assert found == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_loop_without_lightning_refuses_settings_that_it_would_pass_over(project, engine):
    with pytest.raises(ConfigError) as problem:
        train(engine, "+trainer.max_steps=3")
    assert problem.value.exit_code == 2
    assert "trainer.max_steps" in str(problem.value)
    with pytest.raises(ConfigError, match="precision cannot be 'bf16-mixed'"):
        train(engine, "trainer.precision=bf16-mixed")


@pytest.mark.parametrize(
    "engine, other", [("torch", "lightning"), ("lightning", "hf-trainer"), ("hf-trainer", "torch")]
)
def test_a_run_goes_on_only_with_the_loop_that_began_it(project, engine, other):
    train(engine, "experiment=smoke", "run_dir=runs/one")
    with pytest.raises(RefusedError) as problem:
        train(other, "resume=runs/one", "trainer.max_epochs=2")
    assert problem.value.code == "refused.run-finished"
    Path("runs/one/metrics.json").unlink()
    with pytest.raises(RefusedError, match=f"go on with {SCRIPTS[engine]}.py") as problem:
        train(other, "resume=runs/one")
    assert problem.value.code == "refused.engine"


@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_rows(project, engine):
    from scaffold.errors import DivergedError

    model = Path("mymodel/model.py")
    model.write_text(model.read_text().replace("self.criterion(logits, labels)", "self.criterion(logits, labels) / 0"))
    with pytest.raises(DivergedError, match=r"came from the rows data/train.tsv:\d+"):
        train(engine)


@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_validation_that_is_not_finite_ends_the_run_before_it_is_saved(project, engine):
    from scaffold.errors import DivergedError

    model = Path("mymodel/model.py")
    spoilt = "self.criterion(logits, labels) / self.training"
    model.write_text(model.read_text().replace("self.criterion(logits, labels)", spoilt))
    with pytest.raises(DivergedError, match=r"val/loss is inf after step \d+ \(epoch 1\)") as problem:
        train(engine, "run_dir=runs/one")
    assert problem.value.fix.endswith("no checkpoint was saved yet")
    assert not list(Path("runs/one/checkpoints").glob("*.ckpt"))


def test_transformers_trainer_says_how_to_get_the_package_that_it_needs(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'scaffold-ml\[hf-trainer\]'"):
        train("hf-trainer")


def test_an_optimizer_that_needs_lightning_is_refused_by_the_others(project):
    Path("mymodel/optim.py").write_text("class Own:\n    def __call__(self, module): ...\n", encoding="utf-8")
    Path("conf/optim/own.yaml").write_text("_target_: mymodel.optim.Own\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mymodel\.optim\.Own is called with a module that has a trainer"):
        train("torch", "optim=own")


def test_the_training_loop_chooses_the_device(project):
    with pytest.raises(ConfigError, match=r"model.device_map cannot be cpu in training"):
        train("lightning", "+model.device_map=cpu")


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_the_model_trains_in_other_numbers(project, dtype):
    from scaffold.runtime import load_model

    train("torch", "experiment=smoke", f"model.dtype={dtype}")
    assert load_model("runs/latest").model.fc1.weight.dtype == getattr(torch, dtype)


# What the template asks


@pytest.mark.parametrize(
    "engine, scripts", [("all", {"train", "train_hf", "train_loop"}), ("torch", {"train", "train_loop"})]
)
def test_a_project_has_the_scripts_of_its_engines(new, engine, scripts):
    assert {path.stem for path in new("encoder", answers={"engine": engine}).glob("*.py")} == scripts


@pytest.mark.parametrize("engine, asks", [("all", True), ("hf-trainer", True), ("torch", False), ("lightning", False)])
def test_the_trainers_needs_are_asked_for_only_where_it_is_used(engine, asks):
    spec = specified(catalog.find("encoder"), "mymodel", {"engine": engine})
    assert spec.requirement == requirement.runtime(["hf-trainer"] if asks else [])
    assert ("hf-trainer" in spec.requirement) == asks


def test_the_plain_loop_is_short(new):
    lines = (new("encoder") / "train_loop.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60


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

    build_model(ModelParams("recording")).save_pretrained("exported")
    (project / "mymodel" / "recording.py").unlink()
    sys.modules.pop("mymodel.recording")
    with pytest.raises(RefusedError) as problem:
        BaseModel.from_pretrained("exported")
    assert problem.value.what == "the code has no model registered as 'recording'"
    assert problem.value.because.startswith(
        "exported was saved from mymodel.recording.Recording, and registered are my"
    )
    assert problem.value.fix == "give the class back its name, and run from the folder of its project"


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

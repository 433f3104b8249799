"""One plain model, three training loops: the same curve, the same folder, each resumes, each predicts."""

from __future__ import annotations

import csv
import json
import re
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from scaffold.errors import ConfigError, DivergedError, EnvironmentFault, RefusedError
from scaffold.project import catalog, requirement
from scaffold.project.spec import build as specified

TEMPLATES = ("encoder", "image-classifier")
SCRIPTS = {"lightning": "train", "torch": "train_loop", "hf-trainer": "train_hf"}
QUIET = ("patience=null", "trainer.accelerator=cpu")
# a registered model beside the project's own, which notes its losses and can be hit by a signal
RECORDING = """
import os
import signal
import time

from scaffold.runtime import register

from mymodel.model import Mymodel


@register("recording")
class Recording(Mymodel):
    losses = []
    hit_at = None
    pause = 0.0

    def forward(self, **batch):
        output = super().forward(**batch)
        if self.training:
            self.losses.append(output.loss.item())
            if len(self.losses) == self.hit_at:
                time.sleep(self.pause)
                os.kill(os.getpid(), signal.SIGTERM)
        return output
"""

on_texts = pytest.mark.parametrize("project", ["encoder"], indirect=True)


@pytest.fixture(params=TEMPLATES)
def project(request, new, opened) -> Path:
    """A project of each template that asks for an engine; its images are small, so that they are learnt quickly."""
    folder = new(request.param)
    (folder / "mymodel" / "recording.py").write_text(RECORDING, encoding="utf-8")
    if request.param == "image-classifier":
        settings = folder / "conf" / "task" / "default.yaml"
        settings.write_text(settings.read_text(encoding="utf-8").replace("size: null", "size: 12"), encoding="utf-8")
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
    [rows_of_test] = Path("data").glob("test.*")
    assert predict_file("runs/latest", str(rows_of_test), "predictions.jsonl", device="cpu") == 0
    rows = [json.loads(line) for line in Path("predictions.jsonl").read_text().splitlines()]
    right = sum(row["prediction"] == row["label"] for row in rows) / len(rows)
    assert right == pytest.approx(metrics["test/accuracy"], abs=1e-5)


# windows of two batches and then one; after the signal comes the one
WINDOWS = ("trainer.accumulate_grad_batches=2", "+trainer.limit_train_batches=3")


@pytest.mark.parametrize("hit_at, further", [(4, ()), (7, ()), (4, WINDOWS)])
@pytest.mark.parametrize("engine", SCRIPTS)
def test_each_engine_resumes_exactly_after_a_signal(project, engine, hit_at, further):
    recording = import_module("mymodel.recording").Recording
    settings = ("trainer.max_epochs=3", "model.model_name=recording", *further)
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


@on_texts
@pytest.mark.parametrize("engine", SCRIPTS)
def test_the_seconds_of_a_run_that_went_on_are_those_of_all_its_processes(project, engine):
    from scaffold.runtime import compose

    recording = import_module("mymodel.recording").Recording
    recording.hit_at, recording.losses, recording.pause = 4, [], 1.0
    began = time.monotonic()
    with pytest.raises(SystemExit):
        train(engine, "experiment=smoke", "trainer.max_epochs=2", "model.model_name=recording", "run_dir=runs/cut")
    recording.hit_at = None
    config = compose("conf", "resume=runs/cut")
    went_on = time.monotonic()
    seconds = import_module(SCRIPTS[engine]).train(config)["train/seconds"]
    ended = time.monotonic()
    assert ended - went_on < seconds < ended - began


@on_texts
@pytest.mark.parametrize("engine", SCRIPTS)
def test_patience_ends_the_training_of_each_engine(project, engine, capsys):
    metrics = train(engine, "patience=1", "optim.optimizer.lr=0.0", "trainer.max_epochs=9")
    assert (metrics["train/epochs"], metrics["train/stopped_early"]) == (2, True)
    line = r"stopped after epoch 2: val/\w+ has not improved for 1 validations \(patience\)\n"
    assert len(re.findall(line, capsys.readouterr().err)) == 1


@on_texts
@pytest.mark.parametrize("engine", SCRIPTS)
def test_patience_that_ends_with_the_last_epoch_stops_nothing_early(project, engine):
    metrics = train(engine, "patience=1", "optim.optimizer.lr=0.0", "trainer.max_epochs=2")
    assert (metrics["train/epochs"], metrics["train/stopped_early"]) == (2, False)


@on_texts
@pytest.mark.parametrize("engine", SCRIPTS)
def test_the_metrics_of_each_engine_count_the_rows_that_were_cut_and_skipped(project, engine):
    with Path("data/train.tsv").open("a", encoding="utf-8") as handle:
        handle.write("no label\nno label either\n" + "word " * 300 + "\tdelivery\n")
    metrics = train(engine, "experiment=smoke", "data.on_bad_row=skip", "task.max_length=200", "run_dir=runs/one")
    assert (metrics["rows/cut"], metrics["rows/skipped"]) == (1, 2)
    assert len(Path("runs/one/skipped_rows.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    written = json.loads(Path("runs/one/metrics.json").read_text(encoding="utf-8"))
    assert (written["rows/cut"], written["rows/skipped"], written["train/stopped_early"]) == (1, 2, False)


@on_texts
@pytest.mark.parametrize(
    "settings",
    [
        ("trainer.accumulate_grad_batches=2",),
        ("trainer.accumulate_grad_batches=3",),  # the last window of an epoch has one batch, which weighs a third
        ("trainer.gradient_clip_val=0.1",),
        ("trainer.precision=bf16-mixed",),
    ],
)
def test_settings_mean_the_same_to_each_engine(project, settings):
    curves = {engine: curve(engine, *settings, "trainer.max_epochs=3", f"run_dir=runs/{engine}") for engine in SCRIPTS}
    assert curves["torch"] == pytest.approx(curves["lightning"], abs=1e-5)
    assert curves["hf-trainer"] == pytest.approx(curves["lightning"], abs=1e-5)


@on_texts
def test_the_curve_has_a_row_as_often_as_the_trainer_says(project):
    for engine in SCRIPTS:
        train(engine, "trainer.max_epochs=2", "+trainer.log_every_n_steps=3", f"run_dir=runs/{engine}")
    curves = [figures(Path("runs") / engine / "metrics.csv") for engine in SCRIPTS]
    assert [row["step"] for row in curves[0] if row["lr"] >= 0] == [3, 6]
    for found in curves[1:]:
        assert found == [pytest.approx(row, abs=1e-5) for row in curves[0]]


@on_texts
@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_training_ends_after_max_steps_with_a_validation(project, engine):
    settings = ("+trainer.max_steps=5", "run_dir=runs/one")
    assert len(curve(engine, *settings)) == 5
    rows = figures(Path("runs/one/metrics.csv"))
    assert [(row["epoch"], row["step"]) for row in rows if row["val/loss"] >= 0] == [(0, 3), (1, 4)]
    assert json.loads(Path("runs/one/metrics.json").read_text(encoding="utf-8"))["train/epochs"] == 2


@on_texts
@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_run_that_max_steps_ended_goes_on_to_a_later_one(project, engine):
    from scaffold.runtime import compose

    train(engine, "+trainer.max_steps=5", "run_dir=runs/one")
    Path("runs/one/metrics.json").unlink()  # a run that has it is finished
    config = Path("runs/one/config.yaml")
    config.write_text(config.read_text(encoding="utf-8").replace("max_steps: 5", "max_steps: 11"), encoding="utf-8")
    metrics = import_module(SCRIPTS[engine]).train(compose("conf", "resume=runs/one"))
    rows = figures(Path("runs/one/metrics.csv"))
    assert [row["step"] for row in rows if row["val/loss"] >= 0] == [3, 4, 8, 10]
    assert metrics["train/epochs"] == 4


@on_texts
def test_mixed_precision_computes_in_fewer_bits_and_keeps_the_weights_whole(project):
    whole = curve("torch", "experiment=smoke", "run_dir=runs/whole")
    mixed = curve("torch", "experiment=smoke", "run_dir=runs/mixed", "trainer.precision=bf16-mixed")
    assert mixed != whole
    assert mixed == pytest.approx(whole, abs=0.05)
    assert {tensor.dtype for tensor in weights("mixed").values()} == {torch.float32}


@on_texts
@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_loop_without_lightning_refuses_settings_that_it_would_pass_over(project, engine):
    with pytest.raises(ConfigError) as problem:
        train(engine, "+trainer.val_check_interval=0.5", "+trainer.max_time=00:01:00:00")
    assert str(problem.value) == (
        "error: this training loop has no setting trainer.val_check_interval [trainer.val_check_interval]\n"
        "  because: of conf/trainer it knows max_epochs, max_steps, accelerator, devices, precision, "
        "gradient_clip_val, accumulate_grad_batches, log_every_n_steps, limit_train_batches, limit_val_batches, "
        "limit_test_batches, callbacks\n"
        "    nor has it trainer.max_time\n"
        "  fix: leave it out, or train with train.py, which takes any argument of Lightning's Trainer"
    )
    assert problem.value.exit_code == 2


@on_texts
@pytest.mark.parametrize(
    "override, problem",
    [
        ("trainer.precision=16-mixed", "trainer.precision cannot be '16-mixed'"),
        ("trainer.devices=2", "trainer.devices cannot be 2"),
        ("+trainer.limit_val_batches=0", "trainer.limit_val_batches cannot be 0"),
        ("+trainer.limit_train_batches=0.0", "trainer.limit_train_batches cannot be 0.0"),
    ],
)
def test_a_value_that_a_loop_cannot_honour_is_refused_with_what_can(project, override, problem):
    with pytest.raises(ConfigError) as found:
        train("torch", override)
    assert found.value.what == problem
    assert found.value.fix.endswith(
        "such a value, or train with train.py, which takes any argument of Lightning's Trainer"
    )


@on_texts
def test_a_callback_of_lightning_is_refused_by_the_others(project):
    callback = "{_target_: lightning.pytorch.callbacks.LearningRateMonitor}"
    with pytest.raises(ConfigError, match=r"cannot call lightning\.pytorch\.callbacks\.LearningRateMonitor") as problem:
        train("hf-trainer", f"+trainer.callbacks=[{callback}]")
    assert problem.value.fix == "train with train.py, or leave it out: trainer.callbacks=[]"


@on_texts
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


@on_texts
@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_loss_that_is_not_finite_ends_the_run_and_names_the_rows(project, engine):
    model = Path("mymodel/model.py")
    model.write_text(model.read_text().replace("self.criterion(logits, labels)", "self.criterion(logits, labels) / 0"))
    with pytest.raises(DivergedError, match=r"came from the rows data/train.tsv:\d+"):
        train(engine)


@on_texts
@pytest.mark.parametrize("engine", ["torch", "hf-trainer"])
def test_a_validation_that_is_not_finite_ends_the_run_before_it_is_saved(project, engine):
    model = Path("mymodel/model.py")
    spoilt = "self.criterion(logits, labels) / self.training"
    model.write_text(model.read_text().replace("self.criterion(logits, labels)", spoilt))
    with pytest.raises(DivergedError, match=r"val/loss is inf after step \d+ \(epoch 1\)") as problem:
        train(engine, "run_dir=runs/one")
    assert problem.value.fix.endswith("no checkpoint was saved yet")
    assert not list(Path("runs/one/checkpoints").glob("*.ckpt"))


@on_texts
def test_transformers_trainer_says_how_to_get_the_package_that_it_needs(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'scaffold-ml\[hf-trainer\]'"):
        train("hf-trainer")


@on_texts
def test_an_optimizer_that_needs_lightning_is_refused_by_the_others(project):
    Path("mymodel/optim.py").write_text("class Own:\n    def __call__(self, module): ...\n", encoding="utf-8")
    Path("conf/optim/own.yaml").write_text("_target_: mymodel.optim.Own\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mymodel\.optim\.Own is called with a module that has a trainer"):
        train("torch", "optim=own")


# What the template asks


@pytest.mark.parametrize(
    "engine, scripts", [("all", {"train", "train_hf", "train_loop"}), ("torch", {"train", "train_loop"})]
)
@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_has_the_scripts_of_its_engines(new, template, engine, scripts):
    assert {path.stem for path in new(template, answers={"engine": engine}).glob("*.py")} == scripts


@pytest.mark.parametrize("engine, asks", [("all", True), ("hf-trainer", True), ("torch", False), ("lightning", False)])
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_trainers_needs_are_asked_for_only_where_it_is_used(template, engine, asks):
    spec = specified(catalog.find(template), "mymodel", {"engine": engine})
    own = [extra for extra in spec.template.data["runtime_extras"] if extra != "runtime"]
    assert spec.requirement == requirement.runtime([*own, *["hf-trainer"] * asks])
    assert ("hf-trainer" in spec.requirement) == asks


def test_the_plain_loop_is_short(new):
    lines = (new("encoder") / "train_loop.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60

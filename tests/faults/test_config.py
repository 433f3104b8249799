"""Settings that cannot be are refused before a run begins, with the key, what was expected and what to do."""

from __future__ import annotations

import os

import pytest
from omegaconf import OmegaConf

from scaffold.runtime.config.places import Places
from scaffold.runtime.config.unread import unread_keys

# an override, the key that is named, and what is said of it
REFUSED = {
    "trainer.max_epoch=3": ("trainer.max_epoch", "fix: did you mean trainer.max_epochs?"),
    "+trainer.max_epoch=3": ("trainer.max_epoch", "fix: did you mean max_epochs?"),
    "+data.batchsize=3": ("data.batchsize", "fix: did you mean batch_size?"),
    "+task.max_len=3": ("task.max_len", "fix: did you mean max_length?"),
    "+model.droput=0.1": ("model.droput", "fix: did you mean dropout?"),
    "+backbone.hidden=8": ("backbone.hidden", "fix: did you mean hidden_size?"),
    "+patiense=3": ("patiense", "fix: did you mean patience?"),
    "+max_epochs=1": ("max_epochs", "fix: did you mean trainer.max_epochs?"),
    "+foo=1": ("foo", "fix: leave it out, or refer to it if it is yours"),
    "experimnt=smoke": ("experimnt", "fix: did you mean experiment?"),
    "foo=1": ("foo", "fix: write +foo=… to add it, if it is your own and something refers to ${foo}"),
    "data.path=nowhere": ("nowhere", "fix: check data.path"),
    "trainer.max_epochs=abc": ("trainer.max_epochs", "expected a whole number of at least 1 or -1 or null"),
    "trainer.max_epochs=0": ("trainer.max_epochs", "trainer.max_epochs cannot be 0"),
    "trainer.max_epochs=1.5": ("trainer.max_epochs", "expected a whole number"),
    "trainer.accumulate_grad_batches=0": ("trainer.accumulate_grad_batches", "expected a whole number of at least 1"),
    "trainer.gradient_clip_val=-1": ("trainer.gradient_clip_val", "expected a number of at least 0 or null"),
    "trainer.precision=7": ("trainer.precision", "bf16-mixed"),
    "trainer.accelerator=cpuu": ("trainer", "You selected an invalid accelerator name: `accelerator='cpuu'`"),
    "trainer.devices=0": ("trainer", "`Trainer(devices=0)` value is not a valid input"),
    "+trainer.overfit_batches=2.5": ("trainer", "overfit_batches"),
    "data.batch_size=0": ("data.batch_size", "expected a whole number of at least 1 or null"),
    "data.batch_size=abc": ("data.batch_size", "data.batch_size cannot be 'abc'"),
    "data.max_tokens=-1": ("data.max_tokens", "expected a whole number of at least 1 or null"),
    "data.num_workers=-1": ("data.num_workers", "expected a whole number of at least 0"),
    "data.path=null": ("data.path", "data.path cannot be null"),
    "data.path={trian: x}": ("data.path", "expected train, validation and test, got 'trian'"),
    "data.columns=5": ("data.columns", "expected keys with values"),
    "data.on_bad_row=ignore": ("data.on_bad_row", "expected error or skip"),
    "data.vocabulary=nowhere": ("nowhere", "fix: set data.vocabulary to the folder of a finished run"),
    "optim.optimizer.lr=-1": ("optim.optimizer", "Invalid learning rate: -1"),
    "optim.optimizer.lr=nan": ("optim.optimizer.lr", "Expected a finite number, got nan"),
    "optim.optimizer.lr=abc": ("optim.optimizer.lr", "Expected a number, got 'abc'"),
    "optim.schedule=cosin": (
        "optim.schedule",
        "Expected constant, linear, cosine, a registered scheduler or null, got 'cosin'",
    ),
    "optim.warmup=-1": ("optim.warmup", "Expected a number of 0 or more, got -1"),
    "optim.optimizer._target_=torch.optim.Adan": ("optim.optimizer._target_", "did you mean torch.optim.Adam?"),
    "seed=-1": ("seed", "expected a whole number from 0 to 4294967295"),
    "seed=abc": ("seed", "seed cannot be 'abc'"),
    "patience=0": ("patience", "expected a whole number of at least 1 or null"),
    "mode=up": ("mode", "expected max or min or null"),
    "monitor=val/f1": ("mode", "fix: set mode=max or mode=min"),
    "monitor=val/xloss": ("monitor", "validation logs val/accuracy, val/f1, val/loss"),
    "monitor=train/loss": ("monitor", "nothing logs the monitored metric train/loss"),
    "logger=tensorbord": ("logger", "fix: logger=tensorboard"),
    "logger=comet": ("logger", "known are csv, tensorboard, wandb, mlflow\n  fix: name one of them, or a list"),
    "task.target=foo": ("task.target", "expected single or multi or regression"),
    "task.max_length=0": ("task", "expected 1 <= min_length <= max_length, got 1 and 0"),
    "task.min_length=300": ("task", "expected 1 <= min_length <= max_length, got 300 and 256"),
    "task.max_length=long": ("task.max_length", "expected a whole number"),
    "backbone.kind=foo": ("backbone.kind", "the kinds are scratch and pretrained"),
    "backbone.hidden_size=17": ("backbone", "hidden_size, got 17: choose one that 8 divides"),
    "backbone.dropout=2": ("backbone.dropout", "expected a number from 0 to 0.99"),
    "backbone=scrach": ("backbone", "fix: backbone=scratch"),
    "model=other": ("model", "there are mymodel"),
    "experiment=smok": ("experiment", "fix: experiment=smoke"),
    "model.dropout=abc": ("model.dropout", "expected a number"),
    "model._target_=os.system": ("model._target_", "the target 'os.system' is not allowed"),
    "model._target_=mymodel.model.Mymodl": ("model._target_", "did you mean mymodel.model.Mymodel?"),
    "model._target_=torch.nn.Linear": ("model._target_", "'torch.nn.Linear' is not a model of this runtime"),
    "+trainer.callbacks=[mine]": ("trainer.callbacks", "Expected a callback with its _target_, got 'mine'"),
    "+foo.bar=1": ("foo", "nothing reads the key 'foo'"),
    "+trainer.callbacks=[{_target_: shutil.rmtree}]": ("trainer.callbacks._target_", "is not allowed"),
    "allow=[os]": ("allow", "the standard library stays closed"),
    "trainer.max_epochs=${oc.env:NOT_SET}": ("trainer.max_epochs", "the environment variable NOT_SET is not set"),
    "trainer.max_epochs=${nowhere}": ("trainer.max_epochs", "Interpolation key 'nowhere' not found"),
    "model.num_labels=${fact:labels}": ("model", "the data knows no fact called 'labels'"),
}


@pytest.mark.parametrize("override", REFUSED)
def test_a_setting_that_cannot_be_is_refused(project, override):
    key, words = REFUSED[override]
    ended = project.train(override)
    assert ended.code == 2
    assert f" [{key}]\n" in ended.err or f" [{key} in conf/" in ended.err
    assert words in ended.err
    assert "  fix: " in ended.err
    assert "Traceback" not in ended.err
    assert not project.finished()


def test_a_key_of_the_person_s_own_may_be_referred_to(project):
    assert project.train("+size=8", "backbone.hidden_size=${size}").code == 0


def test_a_key_of_the_person_s_own_may_be_read_by_code_or_by_a_file_that_is_not_chosen(project):
    project.edit("train.py", "    run = Run.start(cfg)", "    assert cfg.notes == 'a'\n    run = Run.start(cfg)")
    project.edit("conf/train.yaml", "seed: 13\n", "notes: a\nsize: 8\nseed: 13\n")
    project.experiment("wide", "# @package _global_\nbackbone:\n  hidden_size: ${size}\n")
    assert project.train("trainer.max_epochs=1").code == 0
    assert project.train("experiment=wide", "trainer.max_epochs=1", run="runs/two").code == 0


@pytest.mark.parametrize("code", ["hp = cfg\nhp.mine\n", "print(settings.mine)\n", "cfg['mine']\n", 'get("mine")\n'])
def test_a_key_of_the_person_s_own_may_be_read_under_any_name_in_any_module(tmp_path, code):
    config = OmegaConf.create({"mine": 1, "model": {"dropout": 0.1}})
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "tool.py").write_text(code, encoding="utf-8")
    assert [error.because for error in unread_keys(config, folder=tmp_path)] == [
        "it is no setting, and neither ${mine} in conf/ nor the project's code names it"
    ]
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "report.py").write_text(code, encoding="utf-8")
    assert unread_keys(config, folder=tmp_path) == []


def test_a_key_of_a_section_is_not_read_by_an_attribute_of_the_model(tmp_path):
    (tmp_path / "model.py").write_text("self.dropout = nn.Dropout(dropout)\n", encoding="utf-8")
    config = OmegaConf.create({"dropout": 1, "model": {"dropout": 0.1}})
    [error] = unread_keys(config, folder=tmp_path)
    assert error.fix == "did you mean model.dropout?"


# what a misspelt key of conf/train.yaml or of an experiment was probably meant to be
MISSPELT = {"optm": "optim", "batch_size": "data.batch_size", "seeed": "seed", "patince": "patience", "noise": ""}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_key_that_nothing_reads_is_refused_in_every_file(project, name):
    fix = f"did you mean {MISSPELT[name]}?" if MISSPELT[name] else "leave it out, or refer to it if it is yours"
    project.experiment("mine", f"# @package _global_\nseed: 4\n{name}: 2\n")
    ended = project.train("experiment=mine")
    assert ended.code == 2
    assert f"error: nothing reads the key '{name}' [conf/experiment/mine.yaml:3]\n" in ended.err
    assert f"  fix: {fix}\n" in ended.err
    project.edit("conf/train.yaml", "seed: 13\n", f"seed: 13\n{name}: 2\n")
    ended = project.train()
    assert ended.code == 2
    assert f"error: nothing reads the key '{name}' [conf/train.yaml:" in ended.err
    assert not project.run().exists()


def test_all_keys_that_nothing_reads_are_told_at_once(project):
    project.experiment("mine", "# @package _global_\noptm:\n  lr: 1\nseeed: 2\n")
    assert "    nothing reads the key 'seeed' [conf/experiment/mine.yaml:4]\n" in project.train("experiment=mine").err


@pytest.mark.parametrize("text", ["patience: 2\n", "defaults:\n  - override /model: mymodel\n"])
def test_an_experiment_that_is_not_laid_over_the_whole_config_is_told_which_line_is_missing(project, text):
    project.experiment("mine", text)
    ended = project.train("experiment=mine")
    assert ended.code == 2
    assert "error: the experiment would change nothing [conf/experiment/mine.yaml]\n" in ended.err
    assert "  fix: write # @package _global_ as the first line of the file\n" in ended.err


def test_a_value_that_cannot_be_is_told_with_the_line_that_sets_it(project):
    project.edit("conf/optim/adamw.yaml", "lr: 2.0e-3", "lr: fast")
    assert "got 'fast' [optim.optimizer.lr in conf/optim/adamw.yaml:4]\n" in project.train().err
    project.experiment("mine", "# @package _global_\noptim:\n  optimizer:\n    lr: slow\n")
    ended = project.train("experiment=mine", run="runs/two")
    assert "got 'slow' [optim.optimizer.lr in conf/experiment/mine.yaml:4]\n" in ended.err


def test_a_wrong_value_of_a_file_that_the_command_line_chooses_is_told_with_its_line(project):
    (project.folder / "conf/trainer/other.yaml").write_text(
        "max_epochs: 2\naccelerator: cpu\ngradient_clip_val: -1\n", encoding="utf-8"
    )
    assert " [trainer.gradient_clip_val in conf/trainer/other.yaml:3]\n" in project.train("trainer=other").err


def test_a_sweep_over_files_blames_none_of_them(project):
    project.experiment("bad", "# @package _global_\ntrainer:\n  gradient_clip_val: -1\n")
    ended = project.train("-m", "experiment=bad,smoke", run=None)
    assert ended.code == 2
    assert " [trainer.gradient_clip_val]\n" in ended.err


def test_a_file_that_is_not_chosen_is_not_blamed(tmp_path):
    (tmp_path / "optim").mkdir()
    for name, text in {"mine": "defaults: [base]\n", "base": "lr: 1\n", "other": "warmup: 2\n"}.items():
        (tmp_path / "optim" / f"{name}.yaml").write_text(text, encoding="utf-8")
    places = Places(tmp_path, {"optim": "mine"})
    assert places.of("optim.lr") == (tmp_path / "optim" / "base.yaml", 1)
    assert places.of("optim.warmup") is None


@pytest.mark.parametrize("override", ["seed=-1", "trainer.max_epochs=abc", "patience=0", "trainer.max_epoch=3"])
def test_a_run_that_cannot_begin_leaves_no_folder(project, override):
    assert project.train(override).code == 2
    assert not project.run().exists()


def test_several_wrong_settings_are_told_at_once(project):
    ended = project.train("data.batch_size=0", "data.num_workers=-1")
    assert "error: data.batch_size cannot be 0 [data.batch_size]" in ended.err
    assert "    data.num_workers cannot be -1: expected a whole number of at least 0\n" in ended.err


@pytest.mark.parametrize("override", ["data=null", "a b", "=", "trainer.max_epochs=[", "trainer"])
def test_what_is_no_override_is_refused(project, override):
    ended = project.train(override)
    assert ended.code == 2
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", [("--epochs", "5"), ("-c", "data.batch_size=4")])
def test_settings_with_dashes_are_told_how_settings_are_written(project, arguments):
    ended = project.train(*arguments)
    assert ended.code == 2
    assert ended.err.endswith("  fix: write settings as key=value, without dashes: trainer.max_epochs=5\n")


@pytest.mark.parametrize(
    "text, line, because",
    [
        ("a: [1,\nb: }\n", 2, "expected the node content, but found '}'"),
        ("a:\n\tb: 1\n", 2, "found character '\\t' that cannot start any token"),
        ("a: 1\na: 2\n", 2, "found duplicate key a"),
        ("a: &x [1]\nb: *y\n", 2, "found undefined alias"),
    ],
)
def test_yaml_that_is_not_valid_is_named_with_its_line(project, text, line, because):
    path = project.folder / "conf" / "model" / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    ended = project.train("model=broken")
    assert ended.code == 2
    assert f"error: the file is not valid YAML [{path}:{line}]" in ended.err
    assert because in ended.err


def test_a_part_of_the_trainer_may_be_built_by_the_config(project):
    built = "+trainer.profiler={_target_: lightning.pytorch.profilers.PassThroughProfiler}"
    assert project.train("trainer.max_epochs=1", built).code == 0


def test_a_run_folder_that_exists_is_left_as_it_is(project):
    assert project.train("trainer.max_epochs=1").code == 0
    before = {path: path.stat().st_mtime_ns for path in project.run().rglob("*")}
    ended = project.train()
    assert ended.code == 3
    assert "exists already" in ended.err
    assert f"go on with it: resume={project.run()}" in ended.err
    assert {path: path.stat().st_mtime_ns for path in project.run().rglob("*")} == before


def test_a_run_folder_below_a_file_cannot_be_made(project):
    ended = project.train(run="train.py/one")
    assert ended.code == 4
    assert "error: cannot make the run folder" in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_where_nobody_may_write_is_the_machines_fault(project):
    (project.folder / "runs").mkdir(mode=0o500)
    assert project.train().code == 4


@pytest.mark.parametrize("word", ["tensorboard", "wandb", "mlflow"])
def test_a_logger_whose_package_is_missing_names_the_command(project, word):
    ended = project.train(f"logger={word}")
    if ended.code == 0:
        pytest.skip(f"{word} is installed here")
    assert ended.code == 4
    assert f"fix: pip install 'scaffold-ml[{word}]'" in ended.err


def test_the_memory_that_runs_out_names_what_to_make_smaller(project):
    ended = project.train(project.trouble("memory", 1))
    assert ended.code == 9
    assert "because: CUDA out of memory" in ended.err
    assert "fix: set a smaller data.max_tokens or data.batch_size" in ended.err
    assert "Traceback" not in ended.err


def test_an_error_of_the_person_s_own_code_shows_their_frame_first(project):
    line = "        hidden = self.encoder("
    project.edit("mymodel/model.py", line, f"        [][len(input_ids)]\n{line}")
    ended = project.train()
    assert ended.code == 1
    number = (project.folder / "mymodel" / "model.py").read_text().splitlines().index("        [][len(input_ids)]") + 1
    assert ended.err.startswith(
        f"error: IndexError in Mymodel.forward [mymodel/model.py:{number}]\n  because: list index out of range\n"
    )
    assert "site-packages" not in ended.err


OWN_COLLATE = """
    @classmethod
    def collate(cls, features, context, stage, rng):
        assert stage != "train", "not today"
        return super().collate(features, context, stage, rng)
"""


def test_an_error_in_a_worker_names_the_person_s_line_too(project):
    with (project.folder / "mymodel" / "task.py").open("a", encoding="utf-8") as task:
        task.write(OWN_COLLATE)
    ended = project.train("data.num_workers=1")
    assert ended.code == 1
    assert "not today" in ended.err
    assert "mymodel/task.py" in ended.err


@pytest.mark.parametrize(
    "returned, words",
    [("None", "loss"), ("output.logits", "loss"), ("output.logits.mean()", "loss")],
)
def test_a_forward_that_gives_no_loss_names_the_person_s_model(project, returned, words):
    project.edit("mymodel/model.py", "        return self.classify(", "        output = self.classify(")
    with (project.folder / "mymodel" / "model.py").open("a", encoding="utf-8") as model:
        model.write(f"        return {returned}\n")
    ended = project.train()
    assert ended.code == 1
    assert words in ended.err

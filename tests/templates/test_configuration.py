"""The ways to change a setting that the README of every project names, through its own train.py."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def run(new, opened, monkeypatch) -> Callable[..., None]:
    """Run train.py of a project that has a variant of its model, with these overrides."""
    project = opened(new("sequence-classifier"))
    (project / "conf" / "model" / "my_variant.yaml").write_text("defaults: [mymodel]\ndropout: 0.1\n", encoding="utf-8")

    def command(*overrides: str) -> None:
        monkeypatch.setattr("sys.argv", ["train.py", *overrides])
        runpy.run_path("train.py", run_name="__main__")

    return command


def settings(folder: str) -> dict:
    return yaml.safe_load((Path("runs") / folder / "config.yaml").read_text(encoding="utf-8"))


def test_a_variant_of_the_model_changes_a_few_keys_of_another(run):
    run("model=my_variant", "experiment=smoke", "run_dir=runs/one")
    found = settings("one")["model"]
    assert found["dropout"] == 0.1
    assert found["_target_"] == "mymodel.model.Mymodel"
    assert found["num_labels"] == "${fact:num_labels}"


def test_a_sweep_gives_each_job_a_run_folder_of_its_own(run):
    run("-m", "experiment=smoke", "model.dropout=0.1,0.2")
    folders = sorted(path.name for path in Path("runs").iterdir() if path.name != "latest")
    assert sorted(settings(name)["model"]["dropout"] for name in folders) == [0.1, 0.2]
    assert Path("runs/latest").resolve().name in folders


def test_a_run_goes_on_with_its_own_settings_and_what_the_command_changes(run):
    run("experiment=smoke", "run_dir=runs/one", "model.dropout=0.1")
    run("resume=runs/latest", "trainer.max_epochs=2")
    found = settings("one")
    assert (found["model"]["dropout"], found["trainer"]["max_epochs"]) == (0.1, 2)
    assert [path.name for path in Path("runs").iterdir() if not path.is_symlink()] == ["one"]


def test_what_hydra_would_leave_behind_is_not_there(run):
    run("experiment=smoke", "run_dir=runs/one")
    assert not [path for path in Path().rglob("*") if path.name in {".hydra", "multirun", "outputs", "train.log"}]


@pytest.mark.parametrize(
    "override, expected",
    [
        ("modle=mymodel", "modle"),
        ("model.dropuot=0.1", "did you mean model.dropout?"),
        ("model=my_varian", "model=my_variant"),
        ("trainer.max_epoch=1", "did you mean trainer.max_epochs?"),
        ("+trainer.max_epoch=1", "max_epochs"),
        ("+data.batchsize=8", "did you mean batch_size?"),
        ("+task.max_len=8", "did you mean max_length?"),
        ("monitor=val/acc", "nothing logs the monitored metric val/acc"),
    ],
)
def test_a_setting_that_does_not_exist_exits_2_and_names_the_nearest(run, capsys, override, expected):
    with pytest.raises(SystemExit) as end:
        run(override, "experiment=smoke", "run_dir=runs/one", "mode=max")
    found = capsys.readouterr().err
    assert (end.value.code, "Traceback" in found) == (2, False)
    assert expected in found

"""Run folders: each run has its own, sweeps and variants included, and what stands in it can be believed."""

from __future__ import annotations

import json
import os

import pytest
from omegaconf import OmegaConf


def config_of(folder):
    return OmegaConf.load(folder / "config.yaml")


def folders(project) -> list:
    return sorted(path for path in (project.folder / "runs").iterdir() if path.is_dir() and not path.is_symlink())


@pytest.mark.parametrize("monitor, sign", [("val/accuracy", -1), ("val/loss", 1)])
def test_a_sweep_ends_with_a_line_for_each_of_its_runs_the_best_first(project, monitor, sign):
    swept = ("model.dropout=0.1,0.3", f"monitor={monitor}", "trainer.max_epochs=1", "run_dir=runs/${model.dropout}")
    ended = project.train("-m", *swept, "task.max_length=5", run=None)
    table = [line.split() for line in ended.out.splitlines()[-2:]]
    assert {(words[0].split(",")[1:3][0], words[3]) for words in table} == {
        ("model.dropout=0.1", "runs/0.1"),
        ("model.dropout=0.3", "runs/0.3"),
    }
    best = {f"runs/{name}": project.metrics(name)[monitor] for name in ("0.1", "0.3")}
    assert [words[1:] for words in table] == [
        [monitor, f"{best[run]:.4f}", run] for run in sorted(best, key=lambda run: sign * best[run])
    ]


def test_the_jobs_of_a_sweep_have_a_folder_each(project):
    before = {path.name for path in project.folder.iterdir()}
    ended = project.train("-m", "model.dropout=0.1,0.3", "trainer.max_epochs=1", run=None)
    assert ended.code == 0, ended.err
    one, two = folders(project)
    assert [config_of(one).model.dropout, config_of(two).model.dropout] == [0.1, 0.3]
    assert all((folder / "metrics.json").is_file() for folder in (one, two))
    assert project.run("latest").resolve() == two
    assert {path.name for path in project.folder.iterdir()} == {*before, "runs"}


def test_a_sweep_over_a_named_folder_needs_a_name_for_each_job(project):
    ended = project.train("-m", "seed=1,2", "run_dir=runs/seed-${seed}", run=None)
    assert ended.code == 0
    assert [path.name for path in folders(project)] == ["seed-1", "seed-2"]


def test_a_job_that_fails_ends_the_sweep_with_its_code(project):
    ended = project.train("-m", "trainer.max_epochs=1,0,2", run=None)
    assert ended.code == 2
    assert "trainer.max_epochs cannot be 0" in ended.err
    table = ended.out.splitlines()[-2:]
    assert sorted(line.split()[0].split("trainer.max_epochs=")[1] for line in table) == ["1", "2"]


def test_a_variant_is_chosen_by_its_name(project):
    text = "defaults: [mymodel]\ndropout: 0.05\n"
    (project.folder / "conf" / "model" / "my_variant.yaml").write_text(text, encoding="utf-8")
    assert project.train("model=my_variant").code == 0
    model = config_of(project.run()).model
    assert (model.dropout, model._target_) == (0.05, "mymodel.model.Mymodel")


def test_two_runs_that_begin_in_the_same_second_have_a_folder_each(project):
    for _ in range(2):
        assert project.train("run_dir=runs/${now:%Y}", "trainer.max_epochs=1", run=None).code == 0
    assert len(folders(project)) == 2


def test_the_manifest_says_what_the_run_was_made_of(project):
    assert project.train("trainer.max_epochs=1").code == 0
    found = json.loads((project.run() / "manifest.json").read_text(encoding="utf-8"))
    assert found["command"][0] == "train.py"
    assert found["seed"] == 13
    assert {split: list(files) for split, files in found["data"].items()} == {
        split: [f"data/{split}.tsv"] for split in ("train", "validation", "test")
    }
    assert found["parameters"]["total"] == found["parameters"]["trainable"] > 0


def test_evaluation_writes_beside_what_training_found(project):
    assert project.train().code == 0
    before = project.metrics()
    ended = project.command("evaluate", "--json", "--accelerator", "cpu")
    assert json.loads(ended.out)["test/accuracy"] == pytest.approx(before["test/accuracy"], abs=1e-6)
    assert project.command("evaluate", "--data", "data/validation.tsv").code == 0
    written = {path.name for path in project.run().glob("*.json")}
    assert written >= {"evaluation.json", "evaluation-data-validation.json"}
    assert project.metrics() == before


@pytest.mark.parametrize("name, meant", [("one", "runs/one"), ("runs/oen", "runs/one")])
def test_a_run_that_is_not_there_is_told_with_the_one_that_was_meant(project, name, meant):
    assert project.train("trainer.max_epochs=1").code == 0
    for ended in (project.resume(run=name), project.command("evaluate", "--run", name)):
        assert ended.code == 3
        assert f"error: there is no run in {name} [{name}]\n" in ended.err
        assert f"  fix: did you mean {meant}?\n" in ended.err


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (["--run", "runs/nowhere"], 3, "there is no run in runs/nowhere"),
        (["--run", "runs/one", "--data", "nowhere.tsv"], 2, "there is no file nowhere.tsv"),
        (["--run", "runs/one", "--data", "data"], 2, "data"),
        (["--run", "runs/one", "--accelerator", "cuda"], 2, "accelerator is not available"),
    ],
)
def test_an_evaluation_that_cannot_be_names_what_is_missing(project, arguments, code, words):
    assert project.train("trainer.max_epochs=1").code == 0
    ended = project.command("evaluate", *arguments)
    assert ended.code == code, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_a_run_without_a_checkpoint_cannot_be_evaluated(project):
    assert project.train(project.trouble("SIGTERM", -1)).code == 143
    ended = project.command("evaluate", "--run", "runs/one")
    assert ended.code == 3
    assert "has no checkpoint yet" in ended.err


def test_rows_without_labels_cannot_be_evaluated(project):
    assert project.train("trainer.max_epochs=1").code == 0
    (project.folder / "new.tsv").write_text("no label\n", encoding="utf-8")
    ended = project.command("evaluate", "--data", "new.tsv")
    assert ended.code == 7
    assert "[new.tsv:1]" in ended.err


def test_a_checkpoint_that_is_damaged_is_not_used(project):
    assert project.train("trainer.max_epochs=1").code == 0
    best = project.run() / "checkpoints" / "best.ckpt"
    raw = bytearray(best.read_bytes())
    raw[len(raw) // 2] ^= 1
    best.write_bytes(raw)
    for arguments in (["evaluate"], ["predict", "--input", "data/test.tsv"]):
        ended = project.command(*arguments)
        assert ended.code == 5
        assert f"use {os.path.realpath(project.run())}/checkpoints/last.ckpt, which is intact" in ended.err


def test_code_that_changed_after_training_is_told_from_a_damaged_checkpoint(project):
    assert project.train("trainer.max_epochs=1").code == 0
    project.edit(
        "mymodel/model.py",
        "self.head = nn.Sequential(",
        "self.tail = nn.Linear(2, 2)\n        self.head = nn.Sequential(",
    )
    ended = project.command("evaluate")
    assert ended.code == 3
    assert "no longer fit Mymodel" in ended.err
    assert "missing in the file: tail.weight" in ended.err


def test_no_part_of_the_way_asks_the_network(project, monkeypatch):
    import socket

    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert project.train("trainer.max_epochs=1").code == 0
    assert project.command("evaluate").code == 0
    assert project.command("predict", "--input", "data/test.tsv", "--output", "found.jsonl").code == 0


def test_a_run_that_goes_on_keeps_how_it_began_and_says_how_it_went_on(project):
    assert project.train("trainer.max_epochs=1").code == 0
    manifest = project.run() / "manifest.json"
    before = json.loads(manifest.read_text(encoding="utf-8"))
    assert project.train(f"resume={project.run()}", "trainer.max_epochs=2", run=None).code == 0
    after = json.loads(manifest.read_text(encoding="utf-8"))
    [resumed] = after.pop("resumed")
    assert after == before
    assert "trainer.max_epochs=2" in resumed["command"]
    assert resumed["versions"] == before["versions"]


def divided(project) -> str:
    """Train on a single file, which is divided, and return its path."""
    project.rows()
    assert project.train("data.path=rows/train.tsv", "trainer.max_epochs=1").code == 0
    return "rows/train.tsv"


def add_row(project, path: str) -> None:
    with (project.folder / path).open("a", encoding="utf-8") as rows:
        rows.write("play one more song\tmusic\n")


def test_test_rows_that_may_have_been_trained_on_are_not_evaluated(project):
    add_row(project, divided(project))
    ended = project.command("evaluate")
    assert ended.code == 3
    assert "rows that the run was trained on [rows/train.tsv]" in ended.err
    assert "fix: name the rows to measure it on: make evaluate DATA=…; or put the old file back" in ended.err
    assert project.command("evaluate", "--data", "rows/test.tsv").code == 0


def test_a_test_file_that_is_gone_is_not_replaced_by_training_rows(project):
    project.rows()
    assert project.train("data.path=rows", "trainer.max_epochs=1").code == 0
    (project.folder / "rows/test.tsv").unlink()
    ended = project.command("evaluate")
    assert ended.code == 3
    assert "there were files for train, validation, test, now there are some for train, validation" in ended.err


def test_a_divided_file_that_is_the_same_is_evaluated_and_told_once(project):
    divided(project)
    ended = project.command("evaluate")
    assert ended.code == 0
    assert ended.err.count("no file of its own") == 1
    assert "test: no file of its own, so it has 4 of 40 training rows" in ended.err


def test_a_test_file_that_has_changed_is_named(project):
    project.rows()
    assert project.train("data.path=rows", "trainer.max_epochs=1").code == 0
    assert project.command("evaluate").err == ""
    add_row(project, "rows/test.tsv")
    ended = project.command("evaluate")
    assert ended.code == 0
    assert "test: rows/test.tsv is not the file that the run was trained beside: it has changed since" in ended.err


def test_predictions_say_nothing_of_splits(project):
    divided(project)
    assert project.command("predict", "--input", "rows/test.tsv", "--output", "found.jsonl").err == ""


def test_a_run_without_its_best_checkpoint_says_which_is_used(project):
    assert project.train("trainer.max_epochs=1").code == 0
    (project.run() / "checkpoints/best.ckpt").unlink()
    ended = project.command("predict", "--input", "data/test.tsv", "--output", "found.jsonl")
    assert ended.code == 0
    assert "there is no runs/one/checkpoints/best.ckpt: using last.ckpt, which need not be the best\n" in ended.err


def test_training_that_loses_patience_says_so(project):
    ended = project.train("monitor=val/loss", "mode=max", "patience=1", "trainer.max_epochs=5")
    assert ended.code == 0
    assert "stopped after epoch 2: val/loss has not improved for 1 validations (patience)\n" in ended.err


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_called_latest_already_is_kept_and_told_once(project, kind):
    latest = project.folder / "runs" / "latest"
    (latest if kind == "folder" else latest.parent).mkdir(parents=True)
    if kind == "file":
        latest.write_text("mine", encoding="utf-8")
    ended = project.train("trainer.max_epochs=2", "experiment=smoke")
    assert ended.code == 0
    assert (ended.out + ended.err).count("does not point at this run: a file or folder of that name is there") == 1
    assert latest.is_dir() if kind == "folder" else latest.read_text(encoding="utf-8") == "mine"
    assert {path.name for path in latest.parent.iterdir()} == {"latest", project.run().name}

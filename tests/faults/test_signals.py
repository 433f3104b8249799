"""Signals end a training with its state saved and the exit code that a shell or a scheduler expects, at any moment."""

from __future__ import annotations

import signal

import pytest

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 75}


def send(name: str) -> str:
    """Return Python that sends a signal to its own process."""
    return f"__import__('os').kill(__import__('os').getpid(), __import__('signal').{name})"


@pytest.mark.parametrize("name", CODES)
def test_a_signal_saves_at_the_next_optimizer_step(project, name):
    from scaffold.runtime import load_model
    from scaffold.runtime.training import checkpoints

    ended = project.train("trainer.accumulate_grad_batches=2", project.trouble(name, 2))
    assert ended.code == CODES[name]
    assert ended.err == (
        f"{name}: saving at the next optimizer step (again to stop at once)\n"
        'saved at step 2; go on with ARGS="resume=runs/one"\n'
    )
    last = project.run() / "checkpoints" / "last.ckpt"
    assert checkpoints.load(last)["global_step"] == 2
    assert load_model(last)
    assert project.run("latest").resolve() == project.run()
    assert not project.finished()


def test_a_second_signal_stops_at_once(project):
    ended = project.train(project.trouble("SIGTERM", 3, times=2))
    assert ended.code == 143
    assert "Traceback" not in ended.err
    assert not list(project.run().glob("checkpoints/*.ckpt"))


@pytest.mark.parametrize("name", CODES)
def test_a_signal_before_the_first_step_stops_at_once(project, name):
    ended = project.train(project.trouble(name, -1))
    assert (ended.code, ended.err) == (CODES[name], "interrupted\n" if name == "SIGINT" else "")
    assert not project.run("latest").exists()
    assert not project.finished()


@pytest.mark.parametrize("name", CODES)
def test_a_signal_while_rows_are_encoded_stops_at_once(project, name):
    project.edit(
        "mymodel/task.py", "        return [sample.sequence]", f"        {send(name)}\n        return [sample.sequence]"
    )
    ended = project.train()
    assert (ended.code, ended.err) == (CODES[name], "interrupted\n" if name == "SIGINT" else "")
    assert not project.finished()


def test_a_signal_in_the_test_at_the_end_leaves_a_run_that_can_be_tested(project):
    project.edit(
        "mymodel/model.py",
        "    def forward",
        f"    def on_test_start(self):\n        {send('SIGTERM')}\n\n    def forward",
    )
    assert project.train().code == 143
    assert not project.finished()
    project.edit("mymodel/model.py", f"        {send('SIGTERM')}\n", "        pass\n")
    assert project.resume().code == 0
    assert project.metrics()["train/epochs"] == 2


def test_signals_are_given_back_after_training(project):
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)]
    assert project.train().code == 0
    assert project.train(project.trouble("SIGTERM", 1), run="runs/two").code == 143
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)] == handlers


def test_a_signal_to_the_whole_group_leaves_workers_alive_until_the_state_is_saved(project):
    settings = ("data.num_workers=2", "trainer.accumulate_grad_batches=4")
    for name in ("SIGINT", "SIGTERM"):
        ended = project.forked(*settings, project.trouble(f"{name} to all", 1), run=f"runs/{name}")
        assert (ended.code, "Traceback" in ended.err) == (CODES[name], False), ended.err
        assert "saved at step 1" in ended.err


def test_a_signal_ends_prediction_without_a_half_written_file(project):
    assert project.train("trainer.max_epochs=1").code == 0
    project.edit(
        "mymodel/task.py",
        "        features = encode_text(",
        f"        stage == 'predict' and {send('SIGTERM')}\n        features = encode_text(",
    )
    ended = project.command("predict", "--input", "data/test.tsv", "--output", "found.jsonl")
    assert (ended.code, ended.err) == (143, "")
    assert not list(project.folder.glob("found*"))


@pytest.mark.parametrize("name, ends", [("SIGINT", {130, -2}), ("SIGTERM", {143, -15})])
def test_a_signal_while_libraries_are_loaded_ends_the_process(project, name, ends):
    script = project.folder / "train.py"
    moment = f"__import__('threading').Timer(0.5, lambda: {send(name)}).start()"
    script.write_text(
        script.read_text(encoding="utf-8").replace("import DictConfig\n", f"import DictConfig\n{moment}\n")
    )
    process = project.process("train.py", "run_dir=runs/one")
    _, errors = process.communicate(timeout=60)
    assert process.returncode in ends, errors
    assert errors in ("", "interrupted\n")
    assert not project.run().exists()

"""Two processes share a run: every row is read once, the figures are those of one process, and they end together."""

from __future__ import annotations

import json
from collections import Counter

import pytest

TWO = ("+trainer.strategy=ddp", "trainer.devices=2", "trainer.accelerator=cpu")
STILL = (
    "optim.optimizer.lr=0",
    "model.dropout=0",
    "backbone.dropout=0",
    "backbone.hidden_size=16",
    "trainer.max_epochs=2",
)
EMPTY = {"CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": "127.0.0.1"}

WITNESS = '''
"""A callback that writes down which rows a process is given."""

import lightning.pytorch as pl


class Witness(pl.Callback):
    """Writes the rows of every batch into a file of its process."""

    def see(self, trainer, stage, batch):
        """Write the rows of a batch."""
        with open(f"seen-{trainer.global_rank}", "a") as seen:
            print(stage, trainer.current_epoch, *batch.rows, file=seen)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """See the rows of training."""
        self.see(trainer, "train", batch)

    def on_test_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        """See the rows of the test."""
        self.see(trainer, "test", batch)
'''


def run(project, *overrides: str) -> tuple[int, str]:
    """Run train.py in two processes, and return the exit code of the first and what both printed."""
    process = project.process("train.py", *TWO, *overrides, "run_dir=runs/two", env=EMPTY)
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def rows_seen(project, stage: str, epoch: int) -> Counter[int]:
    seen: Counter[int] = Counter()
    for path in sorted(project.folder.glob("seen-*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            kind, number, *rows = line.split()
            if (kind, int(number)) == (stage, epoch):
                seen.update(map(int, rows))
    return seen


def test_two_processes_read_every_row_once_and_find_what_one_finds(project):
    (project.folder / "mymodel" / "witness.py").write_text(WITNESS, encoding="utf-8")
    code, printed = run(project, *STILL, "+trainer.callbacks=[{_target_: mymodel.witness.Witness}]")
    assert code == 0, printed
    assert "Traceback" not in printed
    assert "sync_dist" not in printed
    assert len(list(project.folder.glob("seen-*"))) == 2
    for epoch in (0, 1):
        assert rows_seen(project, "train", epoch) == dict.fromkeys(range(220), 1)
    assert rows_seen(project, "test", 2) == dict.fromkeys(range(40), 1)
    assert [path.name for path in (project.folder / "runs").iterdir() if not path.is_symlink()] == ["two"]
    assert printed.count("epoch 1/2") == 1

    assert project.train(*STILL).code == 0
    one, two = project.metrics("one"), project.metrics("two")
    del one["train/seconds"], two["train/seconds"]
    assert two == pytest.approx(one, abs=1e-5)
    assert curve(project, "two") == pytest.approx(curve(project, "one"), abs=1e-5)
    checked = project.command("evaluate", "--run", "runs/two", "--json")
    assert json.loads(checked.out)["test/accuracy"] == pytest.approx(two["test/accuracy"], abs=1e-6)


def curve(project, name: str) -> list[float]:
    """Return the figures of the epochs, without the steps, of which two processes make half as many."""
    header, *lines = [line.split(",") for line in (project.run(name) / "metrics.csv").read_text().splitlines()]
    names = [column for column in header if column.startswith(("val/", "train/"))]
    return [float(line[header.index(column)] or 0) for line in lines[:2] for column in names]


def spoil_second(project, code: str) -> None:
    """Let the model's forward do something in the second process, at its fifth step of training."""
    line = "        hidden = self.encoder("
    condition = "self.training and self.trainer.global_step == 4 and self.trainer.global_rank == 1"
    project.edit("mymodel/model.py", line, f"        if {condition}:\n            {code}\n{line}")


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_step(project):
    spoil_second(project, "__import__('os').kill(__import__('os').getpid(), 15)")
    code, printed = run(project, "backbone.hidden_size=16")
    assert code == 143, printed
    assert "saved at step 5" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_a_loss_that_is_not_finite_in_one_of_two_processes_ends_both(project):
    spoil_second(project, "self.head[1].bias.data.fill_(float('nan'))")
    code, printed = run(project, "backbone.hidden_size=16")
    assert code == 8, printed
    assert "the loss is" in printed
    assert not project.finished("two")


@pytest.mark.slow
def test_bad_rows_end_both_processes(project):
    code, printed = run(project, project.rows(test_tsv="alone\n"))
    assert code == 7, printed
    assert "[rows/test.tsv:1]" in printed

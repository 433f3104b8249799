"""Stop a training at random optimizer steps, let it go on, and count the runs that are not equal to an uncut one.

    python benchmarks/resume_cuts.py [--cuts 20] [--epochs 2] [--seed 0]

For 0 and 2 workers and an accumulation of 1 and 4 batches. Half of the runs are stopped by SIGTERM, half by SIGKILL;
the latter go on from their last validation. Equal means: weights, optimizer, schedule, counters, best checkpoint and
curve, in every bit. Ends with 1 where one was not.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import runpy
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

# what a training loads, so that no fork of this process spends its life on it
import scaffold.runtime.encoders.scratch_source
import scaffold.runtime.module
import scaffold.runtime.training.trainer  # noqa: F401
from scaffold.cli import main as command_line
from scaffold.runtime.training import checkpoints

BATCHES = 7  # of an epoch of the template's sample
SETTINGS = ("backbone.hidden_size=16", "trainer.accelerator=cpu", "seed=5")
STOP = '''
"""Sends a signal to its own process when a batch begins."""

import os
import signal

import lightning.pytorch as pl


class Stop(pl.Callback):
    """Sends a signal at a batch, counted over all epochs."""

    def __init__(self, name: str, batch: int) -> None:
        self.number, self.batch = getattr(signal, name), batch

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Send it."""
        if trainer.fit_loop.total_batch_idx == self.batch:
            os.kill(os.getpid(), self.number)
'''


def write_project(folder: Path) -> Path:
    """Write a project that can stop itself, and enter it."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert command_line(["new", "sequence-classifier", "mymodel", "--into", str(folder), "--no-git"]) == 0
    project = folder / "mymodel"
    (project / "mymodel" / "stop.py").write_text(STOP, encoding="utf-8")
    os.chdir(project)
    sys.path.insert(0, str(project))
    return project


def train(*overrides: str) -> int:
    """Run train.py in a fork of this process and return its exit code; that of a signal is negative."""
    process = os.fork()
    if not process:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.dup2(2, 1)
        sys.argv = ["train.py", *overrides]
        try:
            runpy.run_path("train.py", run_name="__main__")
        except SystemExit as end:
            os._exit(int(end.code or 0))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def found(run: Path) -> dict[str, Any]:
    """Return what a run has learnt and written, without what depends on the clock."""
    kept = {name: checkpoints.load(run / "checkpoints" / f"{name}.ckpt") for name in ("best", "last")}
    del kept["last"]["callbacks"]["Checkpoints"]["seconds"]
    return kept | {"curve": (run / "metrics.csv").read_text(encoding="utf-8")}


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which two trees of plain data and tensors differ, in any bit."""
    if isinstance(one, list | tuple) and len(one) == len(other):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{path}.{key}")
    elif not (torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other):
        yield path


def cut_and_go_on(run: Path, settings: tuple[str, ...], name: str, batch: int) -> bool:
    """Stop a run at a batch and let it go on; return whether both ended as they should."""
    stop = f"+trainer.callbacks=[{{_target_: mymodel.stop.Stop, name: {name}, batch: {batch}}}]"
    stopped = train(*SETTINGS, *settings, f"run_dir={run}", stop)
    went_on = train(f"resume={run}", "+trainer.callbacks=[]")
    return (stopped, went_on) == (143 if name == "SIGTERM" else -9, 0)


def count_unequal(
    project: Path, cuts: int, epochs: int, workers: int, accumulation: int, moments: random.Random
) -> int:
    """Cut that many runs of one combination, print what differs, and return how many runs do."""
    settings = (
        f"data.num_workers={workers}",
        f"trainer.accumulate_grad_batches={accumulation}",
        f"trainer.max_epochs={epochs}",
    )
    whole = project / "runs" / f"whole-{workers}-{accumulation}"
    assert train(*SETTINGS, *settings, f"run_dir={whole}") == 0
    expected, unequal = found(whole), 0
    for number in range(cuts):
        run = whole.with_name(f"cut-{workers}-{accumulation}-{number}")
        name = ("SIGTERM", "SIGKILL")[number % 2]
        # before the first validation has ended, a killed run has nothing to go on from
        batch = moments.randrange(BATCHES if name == "SIGKILL" else 0, epochs * BATCHES)
        ended = cut_and_go_on(run, settings, name, batch)
        wrong = list(differences(expected, found(run))) if ended else ["it did not end as it should"]
        unequal += bool(wrong)
        if wrong:
            print(f"  {name} at batch {batch}: {', '.join(wrong[:5])}")
        shutil.rmtree(run, ignore_errors=True)
    return unequal


def main() -> int:
    """Count and print the runs of every combination."""
    torch.set_num_threads(1)  # a fork of a process whose OpenMP threads have run waits for them for ever
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("cuts", 20), ("epochs", 2), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    moments, failures = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder))
        for workers, accumulation in product((0, 2), (1, 4)):
            began = time.monotonic()
            unequal = count_unequal(project, options.cuts, options.epochs, workers, accumulation, moments)
            print(
                f"{workers} workers, accumulation {accumulation}: {options.cuts} cuts, {options.cuts - unequal} equal "
                f"in every bit, {unequal} not ({time.monotonic() - began:.0f} s)",
                flush=True,
            )
            failures += unequal
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

"""What the fault tests share: a small project whose scripts run in this process, in a fork of it, or by themselves."""

from __future__ import annotations

import json
import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

REPOSITORY = Path(__file__).parents[2]
RANGE = "scaffold-ml[runtime]>=0.4.0,<0.5"
SMALL = ("backbone.hidden_size=16", "trainer.max_epochs=2", "trainer.accelerator=cpu")  # half a second a training
ROWS = "".join(f"play song number {number}\tmusic\nset a timer for {number}\ttimer\n" for number in range(20))

# a part of the project that makes trouble when a batch begins, counted over all epochs
TROUBLE = '''
"""Trouble at a chosen batch of training."""

import os
import signal
import subprocess

import lightning.pytorch as pl
import torch


class Trouble(pl.Callback):
    """Does something when a batch begins, counted from 0 over all epochs, or before the first."""

    def __init__(self, kind: str, batch: int = 0, times: int = 1) -> None:
        self.kind, self.batch, self.times = kind, batch, times

    def on_sanity_check_start(self, trainer, pl_module):
        """Make trouble before training."""
        if self.batch < 0:
            self.make(pl_module)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        """Make trouble at the batch."""
        if trainer.fit_loop.total_batch_idx == self.batch:
            self.make(pl_module)

    def make(self, model):
        """Send a signal, run out of memory, or spoil the weights."""
        if self.kind.endswith(" to all"):
            kill = ["kill", "-s", self.kind[3:].removesuffix(" to all"), "--", f"-{os.getpgrp()}"]
            subprocess.run(kill, start_new_session=True, check=True)  # by another process, as a scheduler does
        elif self.kind.startswith("SIG"):
            for _ in range(self.times):
                os.kill(os.getpid(), getattr(signal, self.kind))
        elif self.kind == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        else:
            model.head[1].bias.data.fill_(float(self.kind))
'''


@dataclass(frozen=True)
class Ended:
    """How a command of a project ended."""

    code: int
    out: str
    err: str


class Project:
    """A project that was written from the template; the current folder is its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def train(self, *overrides: str, run: str | None = "runs/one") -> Ended:
        """Run train.py in this process, as its command line would, with small sizes."""
        return self._ended(lambda: _main(self._training(overrides, run)))

    def resume(self, *overrides: str, run: str = "runs/one") -> Ended:
        """Let a run go on."""
        return self._ended(lambda: _main(["train.py", f"resume={run}", *overrides]))

    def command(self, *arguments: str) -> Ended:
        """Run `python -m scaffold.runtime` in this process."""
        return self._ended(lambda: _main(["-m scaffold.runtime", *arguments]))

    def forked(self, *overrides: str, run: str | None = "runs/one") -> Ended:
        """Run train.py in a fork of this process: what ends it does not end the tests."""
        output = self.folder.parent / "fork"
        child = os.fork()
        if not child:
            _be_alone(output, lambda: _main(self._training(overrides, run)))
        _, status = os.waitpid(child, 0)
        out, err = ((output.with_suffix(f".{name}")).read_text(encoding="utf-8") for name in ("out", "err"))
        return Ended(os.waitstatus_to_exitcode(status), out, err)

    def process(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start Python in the project, in a process of its own."""
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), **options.pop("env", {})}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([sys.executable, *command], cwd=self.folder, env=environment, text=True, **pipes)

    def rows(self, **files: str | bytes) -> str:
        """Write data files, `train_tsv` for train.tsv, and sound ones for other splits; return the setting for them."""
        folder = self.folder / "rows"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        given = {name.partition("_")[0] for name in files}
        sound = {f"{split}_tsv": ROWS for split in ("train", "validation", "test") if split not in given}
        for name, content in {**sound, **files}.items():
            raw = content.encode() if isinstance(content, str) else content
            (folder / name.replace("_", ".")).write_bytes(raw)
        return "data.path=rows"

    @staticmethod
    def trouble(kind: str, batch: int = 0, times: int = 1) -> str:
        """Return the setting that makes trouble when a batch begins."""
        return (
            f"+trainer.callbacks=[{{_target_: mymodel.trouble.Trouble, kind: {kind}, batch: {batch}, times: {times}}}]"
        )

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a text that stands once in a file of the project."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def experiment(self, name: str, text: str) -> None:
        """Write an experiment of the project."""
        (self.folder / "conf" / "experiment" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def run(self, name: str = "one") -> Path:
        """Return the folder of a run."""
        return self.folder / "runs" / name

    def metrics(self, name: str = "one") -> dict[str, float]:
        """Return the final metrics of a run."""
        return json.loads((self.run(name) / "metrics.json").read_text(encoding="utf-8"))

    def finished(self, name: str = "one") -> bool:
        """Return whether a run looks as if it had reached its end."""
        return (self.run(name) / "metrics.json").exists()

    def _training(self, overrides: tuple[str, ...], run: str | None) -> list[str]:
        settings = [*SMALL, *([] if run is None else [f"run_dir={run}"]), *overrides]
        return ["train.py", *sorted(settings, key=lambda setting: setting != "-m")]

    def _ended(self, main: Callable[[], int]) -> Ended:
        self._capture.readouterr()
        code = main()
        return Ended(code, *self._capture.readouterr())


def _main(arguments: list[str]) -> int:
    """Run a script with arguments, and return the exit code that its process would have."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mymodel"]:
        del sys.modules[name]
    for handler in logging.getLogger("lightning.pytorch").handlers:
        if type(handler) is logging.StreamHandler:  # not pytest's
            handler.stream = sys.stderr  # Lightning took the one that was there when it was loaded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", arguments)
        patch.setattr(logging.getLogger(), "handlers", [])  # pytest's: without them, warnings are printed as they are
        return _exit_code(arguments[0])


def _exit_code(script: str) -> int:
    try:
        if script == "train.py":
            runpy.run_path("train.py", run_name="__main__")
        else:
            from scaffold.runtime.__main__ import main

            main()
    except SystemExit as end:
        return 0 if end.code is None else int(end.code)
    return 0


def _be_alone(output: Path, main: Callable[[], int]) -> None:
    """End this fork with what a function returns; its output goes to files."""
    code = 99
    os.setsid()
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(output.with_suffix(f".{name}"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
        code = main()
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project as `scaffold new` writes it, with a part that can make trouble."""
    spec = build(catalog.find("sequence-classifier"), "mymodel", {}, runtime_requirement=RANGE)
    folder = create(spec, tmp_path_factory.mktemp("pristine") / "mymodel", git=False).path
    (folder / "mymodel" / "trouble.py").write_text(TROUBLE, encoding="utf-8")
    return folder


@pytest.fixture
def project(
    pristine: Path,
    tmp_path: Path,
    opened: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    """Enter a copy of the project; signals are given back at the end."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    monkeypatch.delenv("SCAFFOLD_RUN_DIR", raising=False)
    yield Project(opened(shutil.copytree(pristine, tmp_path / "mymodel")), capsys)
    for number, handler in handlers.items():
        signal.signal(number, handler)

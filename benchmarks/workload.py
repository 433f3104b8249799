"""What the training benchmarks share: a project, its rows of mixed length, and a watch that reads every loop alike."""

from __future__ import annotations

import contextlib
import io
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

LABELS = 6
LONGEST = 64
PACKAGES = ("torch", "lightning", "transformers", "torchmetrics")
BERT = (
    "backbone.architecture=bert",
    "++backbone.layers=2",
    "backbone.hidden_size=128",
    "backbone.dropout=0.1",
    f"task.max_length={LONGEST}",
)


def sentences(rows: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield (text, label): made-up words, most sentences short and some long; every label has words of its own."""
    draw = random.Random(seed)
    words = sorted({"".join(draw.choices(["ba", "ke", "li", "mo", "nu", "ra", "si", "to"], k=4)) for _ in range(3000)})
    for _ in range(rows):
        label = draw.randrange(LABELS)
        count = min(max(int(draw.lognormvariate(2.6, 0.7)), 2), LONGEST - 2)
        own = words[label::LABELS]
        yield " ".join(draw.choices(own if draw.random() < 0.3 else words, k=count)), f"label{label}"


def write_project(folder: Path, rows: int | None = None) -> Path:
    """Write a sequence-classifier project, with so many training rows if not with its own sample, and go there."""
    command = [sys.executable, "-m", "scaffold", "new", "sequence-classifier", "mymodel"]
    subprocess.run([*command, "--into", str(folder), "--no-git"], check=True, capture_output=True)
    project = folder / "mymodel"
    if rows is not None:
        for split, count in (("train", rows), ("validation", 64), ("test", 64)):
            write_rows(project / "data" / f"{split}.tsv", count)
    os.chdir(project)
    sys.path.insert(0, str(project))
    return project


def write_rows(path: Path, rows: int) -> None:
    """Write sentences as a file of the project."""
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(f"{text}\t{label}\n" for text, label in sentences(rows))


@dataclass(frozen=True)
class Cost:
    """What each optimizer step of one training took, in wall and in CPU seconds."""

    wall: list[float]
    cpu: list[float]


class Stopwatch:
    """Notes the time when the model is first called in training, and after every optimizer step of any loop."""

    def __init__(self) -> None:
        self._marks: list[tuple[Any, float]] = []

    @contextlib.contextmanager
    def on(self, model: torch.nn.Module) -> Iterator[None]:
        """Watch a model while it is trained."""
        # a compiler would trace the hook as a part of the model
        started = model.register_forward_pre_hook(torch.compiler.disable(lambda module, _: self._start(module)))
        stepped = register_optimizer_step_post_hook(lambda *_: self._marks.append(_now()))
        try:
            yield
        finally:
            started.remove()
            stepped.remove()

    def cost(self, skip: int = 0) -> Cost:
        """Return the cost of every step but the first ones."""
        pairs = list(pairwise(self._marks[skip:]))
        return Cost([_seconds(a[0], b[0]) for a, b in pairs], [b[1] - a[1] for a, b in pairs])

    def _start(self, module: torch.nn.Module) -> None:
        if module.training and not self._marks:
            self._marks.append(_now())


def measure(subjects: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Return the costs of every subject, one for each round, in alternating order; a first round does not count."""
    costs: dict[str, list[Cost]] = {name: [] for name in subjects}
    for number in range(rounds + 1):
        for name in list(subjects) if number % 2 else list(reversed(subjects)):
            torch.manual_seed(number)
            with terminal():
                cost = subjects[name]()
            if number:
                costs[name].append(cost)
    return costs


def typical(costs: list[Cost], of: str, pick: Callable[[Iterable[float]], float] = statistics.median) -> float:
    """Return the seconds of all steps, each at its median over the rounds: a slow moment of the machine hits few."""
    return sum(pick(steps) for steps in zip(*(getattr(cost, of) for cost in costs), strict=True))


class Terminal(io.StringIO):
    """A screen that nobody looks at: progress bars draw on it as on a real one."""

    def isatty(self) -> bool:
        """Say yes, so that the bars are on."""
        return True


@contextlib.contextmanager
def terminal() -> Iterator[None]:
    """Let everything be drawn, but not on the benchmark's own screen."""
    screen = Terminal()
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        yield


def versions() -> str:
    """Return the versions that were measured, and the GPU where there is one."""
    gpu = f"; {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES) + f"; {torch.get_num_threads()} thread(s){gpu}"


def _now() -> tuple[Any, float]:
    if not torch.cuda.is_available():
        return time.perf_counter(), time.process_time()
    # the work is still under way: the mark goes into its queue, and nobody waits
    mark = torch.cuda.Event(enable_timing=True)
    mark.record()
    return mark, time.process_time()


def _seconds(begin: Any, end: Any) -> float:
    if isinstance(begin, float):
        return float(end - begin)
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000

"""What training costs in a generated project, against a raw loop, Lightning and transformers' Trainer.

Everything that a user sees is on: loss, metric, a progress bar that draws, CSV. On a GPU all of them run in bf16.
`python benchmarks/training.py [--rounds 7] [--rows 4096] [--threads 1] [--compile]`
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

import rivals
import timing
import torch
import workload
from workload import Cost, Stopwatch, typical

from scaffold.runtime import Backbone, DataModule, Run, build, build_trainer, compose, model_class

WARM_UP = 10
BATCH = 32
SMALL = "BERT, 2 layers, 128 wide"
SAME = ("data.max_tokens=null", f"data.batch_size={BATCH}")
TINY = (*SAME, "backbone.hidden_size=16", "++backbone.layers=1")
RAW, OURS, USUAL, TRAINER = "raw PyTorch loop", "scaffold", "Lightning, usual logging", "transformers Trainer"
GROUPED = "transformers Trainer, dynamic padding, group_by_length"
TRAINER_PADDED = f"transformers Trainer, padded to {workload.LONGEST}"
PLAIN_PADDED = f"Lightning, padded to {workload.LONGEST}"
Rows = Iterable[list[object]]


class Bench:
    """One config of a project, trained by its own train.py and by the rivals."""

    def __init__(self, compiled: bool, *overrides: str) -> None:
        self.compiled, self.bf16 = compiled, torch.cuda.is_available()
        self.precision = "bf16-mixed" if self.bf16 else "32-true"
        once = ["trainer.max_epochs=1", "+trainer.limit_val_batches=1", f"trainer.precision={self.precision}"]
        self._overrides = [*workload.BERT, *once, f"+trainer.compile={compiled}", *overrides]
        config = self._config()
        self.backbone = Backbone(**config.backbone)
        self.data = DataModule(model_class(config), config, self.backbone)
        self.labels = self.data.context.vocabulary.size("labels")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The encoded rows as transformers' collators take them."""
        store = self.data.encoded("train").store
        return [{"input_ids": row["input_ids"].tolist(), "labels": int(row["labels"])} for row in store]

    def loops(self) -> dict[str, Callable[[], Cost]]:
        """Return all loops over the very same batches."""
        data = self.data
        return {
            RAW: lambda: self._timed(lambda model: rivals.raw_loop(model, data.loader("train"), self.bf16), WARM_UP),
            OURS: lambda: self.ours(WARM_UP),
            USUAL: lambda: self._timed(
                lambda model: self._lightning(rivals.UsualModule(model, self.labels), data.loader("train")), WARM_UP
            ),
            TRAINER: lambda: self._timed(lambda model: self._trainer(model, None, data.loader("train")), WARM_UP),
        }

    def epochs(self) -> dict[str, Callable[[], Cost]]:
        """Return what trains on the same rows, each in batches that it makes itself."""
        tokenizer = self.data.context.processor
        dynamic, fixed = rivals.padding(tokenizer), rivals.padding(tokenizer, workload.LONGEST)
        grouped = {"train_sampling_strategy": "group_by_length"}
        loader = torch.utils.data.DataLoader(self.rows, BATCH, shuffle=True, collate_fn=fixed)  # type: ignore[arg-type,var-annotated]
        return {
            OURS: self.ours,
            GROUPED: lambda: self._timed(lambda model: self._trainer(model, dynamic, **grouped)),
            TRAINER_PADDED: lambda: self._timed(lambda model: self._trainer(model, fixed)),
            PLAIN_PADDED: lambda: self._timed(lambda model: self._lightning(rivals.PlainModule(model), loader)),
        }

    def ours(self, skip: int = 0) -> Cost:
        """Train as the project's train.py does."""
        run, watch = Run.start(self._config()), Stopwatch()
        model = build(run.config, self.data.context, self.backbone)
        trainer = build_trainer(run, model)
        with watch.on(model):
            trainer.fit(model, self.data)
        return watch.cost(skip)

    def _timed(self, train: Callable[[Any], None], skip: int = 0) -> Cost:
        model, watch = build(self._config(), self.data.context, self.backbone), Stopwatch()
        if self.compiled:
            model.compile(dynamic=True)
        with watch.on(model):
            train(model)
        return watch.cost(skip)

    def _lightning(self, module: Any, batches: Any) -> None:
        rivals.lightning(module, batches, self.precision)

    def _trainer(self, model: Any, collate: Any, batches: Any = None, **arguments: Any) -> None:
        rivals.hf_trainer(model, self.rows, collate, batches, bf16=self.bf16, **arguments)

    def _config(self) -> Any:
        return compose("conf", *self._overrides, f"run_dir={Path.cwd()}/runs/{uuid4().hex}")


def loop_table(costs: Mapping[str, list[Cost]]) -> Rows:
    """Return what a step costs in each loop."""
    yield ["loop", "ms a step", "CPU µs a step", "over raw", "over raw, quietest rounds", "× raw throughput"]
    steps = len(costs[RAW][0].cpu)
    wall = {name: typical(own, "wall") / steps for name, own in costs.items()}
    cpu = {name: typical(own, "cpu") / steps * 1e6 for name, own in costs.items()}
    least = {name: typical(own, "cpu", min) / steps * 1e6 for name, own in costs.items()}
    for name in costs:
        over = [f"{figures[name] - figures[RAW]:+.0f}" for figures in (cpu, least)]
        yield [name, f"{wall[name] * 1e3:.2f}", f"{cpu[name]:.0f}", *over, f"{wall[RAW] / wall[name]:.3f}"]


def epoch_table(costs: Mapping[str, list[Cost]]) -> Rows:
    """Return what an epoch takes in each way."""
    yield ["training", "steps", "s an epoch", "CPU s", "× scaffold", "× scaffold, CPU"]
    wall = {name: typical(own, "wall") for name, own in costs.items()}
    cpu = {name: typical(own, "cpu") for name, own in costs.items()}
    for name, own in costs.items():
        ratios = (wall[name] / wall[OURS], cpu[name] / cpu[OURS])
        figures = (wall[name], cpu[name], *ratios)
        yield [name, len(own[0].cpu), *(f"{figure:.2f}" for figure in figures)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=4096, help="rows of an epoch")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compile the model, in every loop")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        workload.write_project(Path(folder), asked.rows)
        for title, overrides in (("A tiny BERT (1 layer, 16 wide), to see the loop itself", TINY), (SMALL, SAME)):
            costs = workload.measure(Bench(asked.compile, *overrides).loops(), asked.rounds)
            text = timing.table(loop_table(costs))
            print(f"\n{title}; the same batches of {BATCH} rows for all\n\n{text}", flush=True)
        costs = workload.measure(Bench(asked.compile).epochs(), asked.rounds)
        print(f"\n{SMALL}; {asked.rows} sentences of mixed length\n\n{timing.table(epoch_table(costs))}")
    print(f"\n{timing.hardware()}; {workload.versions()}; {asked.rounds} rounds, alternating, medians")


if __name__ == "__main__":
    main()

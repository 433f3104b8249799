"""What training costs in a project of each template, against a raw loop over the same model and the same batches.

The project trains its own sample with everything on: loss, metrics, a progress bar that draws, CSV. The raw loop is
PyTorch alone: no metric, no log, no bar. Each template is measured twice: with a tiny model, which shows the loop
itself, and as it is shipped, where the same instructions take longer, as the model has emptied the processor's caches.
`python benchmarks/templates.py [TEMPLATE ...] [--rounds 5] [--times 10] [--threads 1]`
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import rivals
import timing
import torch
import workload
from workload import Cost, Stopwatch, typical

from scaffold.runtime import DataModule, Run, build, build_trainer, compose, model_class

WARM_UP = 10
OURS, RAW = "scaffold", "raw PyTorch loop"
FEW_ROWS = ("data.batch_size=4",)
TINY = {
    "encoder": ("model.model_kwargs.hidden_dim=16",),
    "image-classifier": ("model.model_kwargs.width=4",),
    "text-generator": ("backbone.layers=1", "backbone.hidden_size=16"),
}
TINY_TEXT = ("backbone.architecture=bert", "++backbone.layers=1", "++backbone.match=false", "backbone.hidden_size=16")


class Bench:
    """A project's own sample, so many times over, trained by its own train.py and by a raw loop."""

    def __init__(self, times: int, *overrides: str) -> None:
        [train], [validation] = Path("data").glob("train.*"), Path("data").glob("validation.*")
        files = f"{{train: {[str(train)] * times}, validation: [{validation}], test: [{validation}]}}"
        self._overrides = ["trainer.max_epochs=1", "+trainer.limit_val_batches=1", f"data.path={files}", *overrides]
        config = self._config()
        self.data = DataModule(model_class(config), config)

    def ours(self) -> Cost:
        """Train as the project's train.py does."""
        run, watch = Run.start(self._config()), Stopwatch()
        model = build(run.config, self.data.context, self.data.backbone)
        trainer = build_trainer(run, model)
        with watch.on(model):
            trainer.fit(model, self.data)
        return watch.cost(WARM_UP)

    def raw(self) -> Cost:
        """Train the same model on the same batches with nothing but PyTorch."""
        watch = Stopwatch()
        model = build(self._config(), self.data.context, self.data.backbone)
        with watch.on(model):
            rivals.raw_loop(model, self.data.loader("train"))
        return watch.cost(WARM_UP)

    def _config(self) -> Any:
        return compose("conf", *self._overrides, f"run_dir={Path.cwd()}/runs/{uuid4().hex}")


def figures(costs: dict[str, list[Cost]]) -> list[object]:
    """Return what a step costs: raw, what ours adds to it, the same in the quietest rounds, and the throughput."""
    steps = len(costs[RAW][0].cpu)
    raw, ours = (typical(costs[name], "cpu") / steps * 1e6 for name in (RAW, OURS))
    least = [typical(costs[name], "cpu", min) / steps * 1e6 for name in (RAW, OURS)]
    wall = [typical(costs[name], "wall") for name in (RAW, OURS)]
    return [f"{raw:,.0f}", f"{ours - raw:+.0f} ({least[1] - least[0]:+.0f})", f"{wall[0] / wall[1]:.3f}"]


def write(folder: Path, template: str) -> None:
    """Write a project whose package no other template's project has, and go there."""
    name = f"bench-{template}"
    command = [sys.executable, "-m", "scaffold", "new", template, name, "--into", str(folder), "--no-git"]
    subprocess.run(command, check=True, capture_output=True)
    os.chdir(folder / name)
    sys.path.insert(0, str(folder / name))


def all_templates() -> list[str]:
    """Return the templates of the catalogue."""
    from scaffold.project import catalog

    return catalog.template_names()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("templates", nargs="*", metavar="TEMPLATE", help="all of them by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=10, help="how often the rows of the sample are repeated")
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    logging.disable(logging.WARNING)
    columns = ["raw, CPU µs a step", "over raw (quietest rounds)", "× raw throughput"]
    rows: list[list[object]] = [
        ["template", *(f"{model}: {column}" for model in ("tiny", "shipped") for column in columns)]
    ]
    with tempfile.TemporaryDirectory() as folder:
        for template in asked.templates or all_templates():
            write(Path(folder), template)
            tiny = Bench(max(1, asked.times // 4), *FEW_ROWS, *TINY.get(template, TINY_TEXT))
            benches = (tiny, Bench(asked.times))
            costs = [workload.measure({RAW: bench.raw, OURS: bench.ours}, asked.rounds) for bench in benches]
            rows.append([template, *(figure for cost in costs for figure in figures(cost))])
            print(f"{template}: {rows[-1][1:]}", file=sys.stderr, flush=True)
    print(f"\n{timing.table(rows)}\n")
    print(f"{timing.hardware()}; {workload.versions()}; {asked.rounds} rounds, alternating, medians")


if __name__ == "__main__":
    main()

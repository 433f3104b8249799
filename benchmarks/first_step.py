"""From the start of `python train.py` to its first optimizer step, against the imports that nothing can avoid.

`python benchmarks/first_step.py [--rounds 7] [ARGS of train.py ...]`
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import timing
import workload
from workload import Cost

FLOOR, OURS = "the unavoidable imports", "first optimizer step"
STAMP = "print('STAMP', __import__('time').perf_counter(), __import__('time').process_time(), flush=True)"
IMPORTS = f"""
import torch, hydra, lightning.pytorch
from transformers import BertModel, PreTrainedTokenizerFast
{STAMP}
"""
# the project stays as it is: PyTorch tells when an optimizer has made a step, and is asked to once it is there
TRAINING = f"""
import os, runpy, sys

def stop(*_):
    {STAMP}
    os._exit(0)

class WhenTorchIsThere:
    def find_spec(self, name, path=None, target=None):
        if name == "scaffold.runtime.training.trainer":
            sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(stop)

sys.meta_path.insert(0, WhenTorchIsThere())
runpy.run_path("train.py", run_name="__main__")
"""


def until_stamp(code: str, *arguments: str) -> Callable[[], Cost]:
    """Return what runs code in a new process and tells when it came to its stamp."""

    def run() -> Cost:
        begin = time.perf_counter()  # the same clock in every process of a machine
        found = subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True, text=True)
        wall, cpu = found.stdout.rpartition("STAMP")[2].split()
        return Cost([float(wall) - begin], [float(cpu)])

    return run


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    asked, overrides = parser.parse_known_args()
    subjects = {FLOOR: until_stamp(IMPORTS), OURS: until_stamp(TRAINING, *overrides)}
    with tempfile.TemporaryDirectory() as folder:
        workload.write_project(Path(folder))
        costs = workload.measure(subjects, asked.rounds)
    rows: list[list[object]] = [["from the start of the process to", "s", "CPU s", "×", "×, CPU"]]
    wall, cpu = ({name: workload.typical(own, of) for name, own in costs.items()} for of in ("wall", "cpu"))
    for name in costs:
        figures = (wall[name], cpu[name], wall[name] / wall[FLOOR], cpu[name] / cpu[FLOOR])
        rows.append([name, *(f"{figure:.2f}" for figure in figures)])
    print(timing.table(rows))
    print(f"\n{timing.hardware()}; {workload.versions()}; {asked.rounds} rounds, alternating, medians")


if __name__ == "__main__":
    main()

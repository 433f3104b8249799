"""What the shipped defaults reach on public data: test metrics and the time of training, by the project's own train.py.

Folders of the data, as `train`, `validation` and `test` files: sequence/banking77, sentence-pair/sick and so on.
`python benchmarks/real_data.py DATA [NAME ...] [--backbone FOLDER] [--threads 2]`
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import timing

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Trial:
    """A data set, the template that learns it, what is said beside its path, and the metrics that count."""

    folder: str
    template: str
    metrics: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    suffix: str = ".tsv"

    def data(self, root: Path) -> str:
        """Return the override that names the data: a file of each split, or the one file."""
        folder = (root / self.folder).resolve()
        if folder.is_file():
            return f"data.path={folder}"
        return "data.path={" + ", ".join(f"{split}: {folder / split}{self.suffix}" for split in SPLITS) + "}"


TRIALS = {
    "banking77": Trial("sequence/banking77", "sequence-classifier", ("accuracy",)),
    "banking77-mlp": Trial("sequence/banking77", "encoder", ("accuracy",), ("trainer.max_epochs=12",)),
    "sick": Trial("sentence-pair/sick", "sentence-pair-classifier", ("accuracy",)),
    "ud-ewt": Trial("token/ud_ewt_upos", "token-classifier", ("accuracy",)),
    "wnut17": Trial("token/wnut17", "token-classifier", ("f1",)),
    "restaurant8k": Trial(
        "qa/restaurant8k",
        "question-answerer",
        ("exact_match", "f1"),
        ("+data.columns.id=id", "+data.columns.slot=slot"),
        suffix=".jsonl",
    ),
    "multi30k": Trial("generation/multi30k_en_de", "text-generator", ("bleu",), ("trainer.max_epochs=6",)),
    "digits": Trial("image/digits/digits.npz", "image-classifier", ("accuracy",)),
}


def run(trial: Trial, root: Path, folder: Path, options: list[str], environment: dict[str, str]) -> list[object]:
    """Write a project, train it, and return its metrics, its wall and its CPU seconds, imports included."""
    command = [sys.executable, "-m", "scaffold", "new", trial.template, "trial", "--into", str(folder), "--no-git"]
    subprocess.run(command, check=True, capture_output=True)
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    overrides = [trial.data(root), *trial.overrides, *options, "run_dir=runs/trial"]
    subprocess.run([sys.executable, "train.py", *overrides], check=True, cwd=folder / "trial", env=environment)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = json.loads((folder / "trial" / "runs" / "trial" / "metrics.json").read_text(encoding="utf-8"))
    reached = ", ".join(f"{name} {100 * found[f'test/{name}']:.2f}" for name in trial.metrics)
    return [trial.template, reached, found["train/epochs"], f"{wall:.0f}", f"{cpu:.0f}"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder that holds the data sets")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(TRIALS)}")
    parser.add_argument("--backbone", type=Path, help="fine-tune this pretrained encoder for three epochs instead")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    options = []
    if asked.backbone:
        options = ["experiment=finetune", f"backbone.name={asked.backbone.resolve()}", "trainer.max_epochs=3"]
    environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads)}
    rows: list[list[object]] = [["data", "template", "test, × 100", "epochs", "s", "s of CPU time"]]
    for name in asked.names or TRIALS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append([name, *run(TRIALS[name], asked.data, Path(folder), options, environment)])
    print(f"\n{timing.table(rows)}\n")
    print(f"{timing.hardware()}; {asked.threads} thread(s)")


if __name__ == "__main__":
    main()

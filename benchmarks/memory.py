"""How much memory a large training file takes: `python train.py` on a million rows against its own small sample.

Both processes train for as many batches, validate and test; the highest resident memory of each is compared.
`python benchmarks/memory.py [--rows 1000000] [--batches 200]`
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import timing
import workload

ALLOWED = 300
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Toll:
    """What a process took."""

    megabytes: float
    seconds: float
    cpu: float


def toll_of(arguments: list[str]) -> Toll:
    """Run Python and return its highest resident memory and its seconds; when it fails, end as it did."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, *arguments], stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(said.read().decode())
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Toll(used.ru_maxrss / unit, time.perf_counter() - begin, used.ru_utime + used.ru_stime)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batches", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = workload.write_project(Path(folder))
        (project / "large").mkdir()
        for split, rows in zip(SPLITS, (asked.rows, 64, 64), strict=True):
            workload.write_rows(project / "large" / f"{split}.tsv", rows)
        size = (project / "large" / "train.tsv").stat().st_size / 2**20
        # the sample has few batches, and comes round to as many by epochs
        command = ["train.py", f"+trainer.max_steps={asked.batches}", "trainer.max_epochs=-1", "patience=null"]
        tolls = {
            "its sample, 220 rows": toll_of(command),
            f"{asked.rows:,} rows, {size:.0f} MB": toll_of([*command, "data.path=large"]),
        }
    sample = next(iter(tolls.values()))
    rows: list[list[object]] = [["training on", "peak MB", "MB more", "s", "CPU s"]]
    for name, toll in tolls.items():
        more = f"{toll.megabytes - sample.megabytes:+.0f}"
        rows.append([name, f"{toll.megabytes:.0f}", more, f"{toll.seconds:.1f}", f"{toll.cpu:.1f}"])
    print(timing.table(rows))
    print(f"\n{timing.hardware()}; {workload.versions()}; allowed are {ALLOWED} MB more")


if __name__ == "__main__":
    main()

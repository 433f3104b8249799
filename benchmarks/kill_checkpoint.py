"""Kill processes while they save checkpoints, and count what can no longer be loaded; then time a save.

    python benchmarks/kill_checkpoint.py [--kills 300] [--rival-kills 40]

The temporary folder lies on another file system than the checkpoints where this machine has one. The rival is
Lightning's own `TorchCheckpointIO`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scaffold.errors import ScaffoldError
from scaffold.runtime.training import checkpoints

OTHER_FILE_SYSTEM = Path("/dev/shm")
LONGEST_LIFE = 0.12  # seconds: a few saves of the state below
Save = Callable[[dict[str, Any], Path], None]


@dataclass
class Toll:
    """What a number of kills left behind."""

    kills: int = 0
    in_the_middle: int = 0
    lost: int = 0
    litter: int = 0


def state_of(size: int) -> dict[str, Any]:
    return {"state_dict": {f"layer{n}": torch.randn(size // 16, 256) for n in range(16)}, "step": 0}


def plain_save(state: dict[str, Any], path: Path) -> None:
    torch.save(state, path)


def lightning_save(state: dict[str, Any], path: Path) -> None:
    from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

    TorchCheckpointIO().save_checkpoint(state, path)


def plain_load(path: Path) -> dict[str, Any]:
    return torch.load(path, weights_only=True)


def save_until_killed(save: Save, state: dict[str, Any], path: Path) -> None:
    while True:
        save(state, path)
        state["step"] += 1


def kill_one(save: Save, state: dict[str, Any], path: Path, life: float) -> None:
    child = os.fork()
    if child == 0:
        save_until_killed(save, state, path)
    time.sleep(life)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def loads(load: Callable[[Path], dict[str, Any]], path: Path) -> bool:
    try:
        return "state_dict" in load(path)
    except (ScaffoldError, RuntimeError, EOFError, OSError, ValueError):
        return False


def kill_many(count: int, save: Save, load: Callable[[Path], dict[str, Any]], folder: Path) -> Toll:
    toll, rng, state = Toll(), random.Random(0), state_of(4096)
    path = folder / "last.ckpt"
    save(state, path)
    for _ in range(count):
        kill_one(save, state, path, rng.uniform(0.005, LONGEST_LIFE))
        toll.kills += 1
        toll.in_the_middle += bool(list(folder.glob(".*.draft")))
        toll.lost += not loads(load, path)
        save(state, path)
    toll.litter = len(list(folder.iterdir())) - len(list(folder.glob("last.ckpt*")))
    toll.litter += len(list(Path(tempfile.gettempdir()).iterdir()))
    return toll


def seconds_per_save(folder: Path, size: int, rounds: int = 9) -> dict[str, float]:
    state, taken = state_of(size), {}
    saves = {"torch.save": plain_save, "ours": checkpoints.save, "Lightning": lightning_save}
    for _ in range(rounds):
        for name, save in saves.items():
            start = time.perf_counter()
            save(state, folder / f"{name}.ckpt")
            taken.setdefault(name, []).append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def report(name: str, toll: Toll) -> None:
    middle = f" ({toll.in_the_middle} in the middle of a save)" if toll.in_the_middle else ""
    print(f"{name}: {toll.kills} kills{middle}, {toll.lost} checkpoints lost, {toll.litter} files left over")


def run(kills: int, rival_kills: int, timing: bool) -> int:
    torch.set_num_threads(1)
    elsewhere = OTHER_FILE_SYSTEM if OTHER_FILE_SYSTEM.is_dir() else None
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as here, tempfile.TemporaryDirectory(dir=elsewhere) as temporary:
        tempfile.tempdir = temporary
        across = Path(here).stat().st_dev != Path(temporary).stat().st_dev
        print(f"temporary folder on {'another' if across else 'the same'} file system")
        ours = kill_many(kills, checkpoints.save, checkpoints.load, Path(here))
        report("ours", ours)
        if rival_kills:
            rival = Path(here) / "rival"
            rival.mkdir()
            report("Lightning", kill_many(rival_kills, lightning_save, plain_load, rival))
        for size in (8192, 49152) if timing else ():
            print_times(seconds_per_save(Path(here), size), size)
    return 1 if ours.lost or ours.litter else 0


def print_times(seconds: dict[str, float], size: int) -> None:
    base = seconds["torch.save"]
    figures = ", ".join(f"{name} {taken * 1e3:.0f} ms ({taken / base:.2f} x)" for name, taken in seconds.items())
    print(f"saving {size * 256 * 4 / 1e6:.0f} MB: {figures}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--rival-kills", type=int, default=40)
    parser.add_argument("--no-timing", action="store_true")
    options = parser.parse_args()
    return run(options.kills, options.rival_kills, not options.no_timing)


if __name__ == "__main__":
    sys.exit(main())

"""Kill `scaffold new` at random moments, and count what it leaves behind: nothing, a whole project, or a part of one.

    python benchmarks/kill_new.py [--kill 1000] [--interrupt 200] [--terminate 200] [--template NAME] [--seed 0]

Each run is forked from a process that has loaded everything, so that the moments fall on the writing. Ends with 1
where a part of a project was left, a signal was reported wrongly, or a later run did not sweep up.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path

import copier  # noqa: F401 - loaded here, as the commands are, so that no forked run spends its life on it
import timing

import scaffold.cli.commands.new
import scaffold.cli.guard
import scaffold.project.create  # noqa: F401
from scaffold.cli import main as command_line
from scaffold.project.catalog import ROOT_VARIABLE, templates_root

NAME = "mymodel"
SAID = "said.txt"
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
NOTHING = "interrupted; nothing was written\n"


def start(folder: Path, template: str) -> int:
    """Fork a process that writes a project into a folder, and return its number."""
    process = os.fork()
    if process:
        return process
    os.setpgid(0, 0)
    said = os.open(folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os._exit(command_line(["new", template, NAME, "--into", str(folder)]))


def finish(process: int) -> int:
    """Wait for a process and return its exit code; that of a signal is negative."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def digest(project: Path) -> str:
    """Return one hash over the paths and contents of a project, the repository left out."""
    total = hashlib.sha256()
    for path in sorted(p for p in project.rglob("*") if p.is_file() and ".git" not in p.relative_to(project).parts):
        total.update(f"{path.relative_to(project)}\0".encode() + path.read_bytes())
    return total.hexdigest()


def outcome(folder: Path, whole: str) -> str:
    """Return what a killed run left at its target."""
    target = folder / NAME
    if not os.path.lexists(target):
        return "absent"
    committed = all((target / ".git" / part).is_file() for part in ("HEAD", "index", "refs/heads/main"))
    return "complete" if committed and digest(target) == whole else "PARTIAL"


def leftovers(folder: Path) -> int:
    """Return the number of temporary folders beside the target."""
    return len(list(folder.glob(f".{NAME}.tmp-*")))


def strike(number: signal.Signals, moment: float, folder: Path, template: str, whole: str) -> str:
    """Run once, send a signal after so many seconds, and return what was left."""
    process = start(folder, template)
    time.sleep(moment)
    os.kill(process, number)
    code = finish(process)
    left = outcome(folder, whole)
    return left if number == signal.SIGKILL else reported(number, code, left, folder)


def reported(number: signal.Signals, code: int, left: str, folder: Path) -> str:
    """Return what was left by a run that could clean up; in capitals where that or what it said is wrong."""
    said = (folder / SAID).read_text() if (folder / SAID).exists() else ""
    if leftovers(folder):
        return "LEFTOVER"
    if left == "absent" and code == -number:
        return "absent (before the start)"
    if left == "absent":
        return left if (code, said) == (EXIT_CODES[number], NOTHING) else f"WRONG REPORT {code} {said!r}"
    return left if code == 0 else f"WRONG REPORT {code} {said!r}"


def fresh(folder: Path, numbers: Iterator[int]) -> Path:
    """Return a new empty folder."""
    target = folder / str(next(numbers))
    target.mkdir()
    return target


def undisturbed(folder: Path, template: str) -> tuple[str, float]:
    """Return the digest of a whole project, and how long it takes to write one just now."""
    begin = time.perf_counter()
    if finish(start(folder, template)):
        sys.exit((folder / SAID).read_text())
    return digest(folder / NAME), time.perf_counter() - begin


def swept(folder: Path, template: str, whole: str) -> bool:
    """Say whether a run that is left alone removes what killed ones left, and there is a project then."""
    finish(start(folder, template))
    return leftovers(folder) == 0 and outcome(folder, whole) == "complete"


def campaign(
    number: signal.Signals, shares: Iterable[float], folders: Callable[[], Path], template: str
) -> Counter[str]:
    """Strike once after each share of a run's time, and count how the runs ended."""
    ends: Counter[str] = Counter()
    for turn, share in enumerate(shares):
        if turn % 25 == 0:  # the load of the machine changes
            whole, duration = undisturbed(folders(), template)
        folder = folders()
        end = strike(number, share * duration, folder, template, whole)
        if number == signal.SIGKILL and leftovers(folder) and not swept(folder, template, whole):
            end = "NOT SWEPT"
        ends[end] += 1
    return ends


def main() -> int:
    """Print how many runs ended in which way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("kill", 1000), ("interrupt", 200), ("terminate", 200), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--template", default="sequence-classifier")
    wanted = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    chosen = random.Random(wanted.seed)
    faults = 0
    with tempfile.TemporaryDirectory() as root:
        # a copy, so that nobody's edit of a template looks like half a project
        os.environ[ROOT_VARIABLE] = str(shutil.copytree(templates_root(), Path(root) / "templates"))
        folders = partial(fresh, Path(root), count())
        rounds = {signal.SIGKILL: wanted.kill, signal.SIGINT: wanted.interrupt, signal.SIGTERM: wanted.terminate}
        for number, times in rounds.items():
            shares = [chosen.uniform(0, 1.1) for _ in range(times)]
            ends = campaign(number, shares, folders, wanted.template)
            faults += sum(runs for end, runs in ends.items() if end.split()[0].isupper())
            counted = ", ".join(f"{runs} {end}" for end, runs in sorted(ends.items()))
            print(f"{number.name}: {times} runs: {counted}", flush=True)
    print(f"{faults} faults; {timing.hardware()}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

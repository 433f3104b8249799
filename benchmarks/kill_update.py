"""Kill `scaffold update` at random moments, and count what it leaves: the project before, the one after, or a way back.

    python benchmarks/kill_update.py [--kill 500] [--interrupt 200] [--terminate 200] [--seed 0]

A project of the encoder is updated to other answers, so that files are added, changed and removed; the person has
changed some of them. Every second moment falls on the writing itself. Ends with 1 where something was lost, said
wrongly, or not brought back by --abort.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import copier  # noqa: F401 - loaded here, as the commands are, so that no forked run spends its life on it
import kill_new
import timing

import scaffold.cli.commands.update
import scaffold.project.update  # noqa: F401
from scaffold.cli import main as command_line

PROJECT, JOURNAL = "mymodel", "scaffold-update.json"
PATIENCE, WRITING = 10, 0.06
CHANGED = ("--set", "engine=all", "--set", "description=Another one")
MINE = {"mymodel/layers.py": "# mine\n", "data/mine.tsv": "a\tb\n"}


def git(folder: Path, *arguments: str) -> str:
    """Run git in a project as somebody, and return what it prints."""
    named = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-C", str(folder), *arguments]
    return subprocess.run(named, check=True, capture_output=True, text=True).stdout


def write(folder: Path) -> Path:
    """Write the project, with changes of the person's."""
    if command_line(["new", "encoder", PROJECT, "--into", str(folder)]):
        sys.exit("scaffold new failed")
    project = folder / PROJECT
    for name, text in MINE.items():
        (project / name).write_text(text)
    (project / "README.md").write_text((project / "README.md").read_text() + "\nMine.\n")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=mine")
    return project


def state(project: Path) -> str:
    """Return one text for all that a person sees of a project: its files, and what git says of them."""
    return kill_new.digest(project) + git(project, "status", "--porcelain") + git(project, "ls-files", "--stage")


def start(project: Path, *options: str) -> int:
    """Fork a process that updates a project, and return its number."""
    process = os.fork()
    if process:
        return process
    os.setpgid(0, 0)
    said = os.open(project.parent / kill_new.SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os._exit(command_line(["update", str(project), *options]))


def wait_for(path: Path) -> None:
    """Wait until a file is there, at most for some seconds."""
    end = time.perf_counter() + PATIENCE
    while not path.exists() and time.perf_counter() < end:
        time.sleep(0.001)


def strike(number: signal.Signals, moment: float, project: Path, states: tuple[str, str], while_writing: bool) -> str:
    """Update once, send a signal to all of its processes after so many seconds, and return what was left."""
    before, after = states
    said_there = project.parent / kill_new.SAID
    said_there.touch()
    process = start(project, *CHANGED)
    if while_writing:
        wait_for(project / ".git" / JOURNAL)
    time.sleep(moment)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, number)
    code, said = kill_new.finish(process), said_there.read_text()
    found = {before: "before", after: "after"}.get(state(project), "half-way")
    if number == signal.SIGKILL:
        return found + gone_on(project, found, states)
    expected = {"before": (kill_new.EXIT_CODES[number], kill_new.NOTHING), "after": (0, said)}.get(found)
    return found if (code, said) == expected or code == -number else f"WRONG {found} {code} {said!r}"


def gone_on(project: Path, found: str, states: tuple[str, str]) -> str:
    """Return how a second run goes on: it updates, or names the way back to where the first one started."""
    before, after = states
    code = kill_new.finish(start(project, *CHANGED))
    if code == 0:
        return "" if found == "before" and state(project) == after else ": LOST"
    told = "scaffold update --abort" in (project.parent / kill_new.SAID).read_text()
    aborted = kill_new.finish(start(project, "--abort"))
    if (code, told, aborted) != (3, True, 0) or state(project) != before:
        return f": LOST {code} {told} {aborted}"
    return ", taken back"


def campaign(number: signal.Signals, shares: Iterable[float], root: Path, original: Path) -> Counter[str]:
    """Strike once after each share of an update's time, and count how the runs ended."""
    ends: Counter[str] = Counter()
    for turn, share in enumerate(shares):
        project = Path(shutil.copytree(original, root / "turn" / PROJECT, symlinks=True))
        if turn % 25 == 0:  # the load of the machine changes
            before, begin = state(project), time.perf_counter()
            if kill_new.finish(start(project, *CHANGED)):
                sys.exit((project.parent / kill_new.SAID).read_text())
            duration, after = time.perf_counter() - begin, state(project)
            shutil.rmtree(root / "turn")
            project = Path(shutil.copytree(original, root / "turn" / PROJECT, symlinks=True))
        moment = share * (WRITING if turn % 2 else duration)
        ends[strike(number, moment, project, (before, after), turn % 2 == 1)] += 1
        shutil.rmtree(root / "turn")
    return ends


def main() -> int:
    """Print how many runs ended in which way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option, default in (("kill", 500), ("interrupt", 200), ("terminate", 200), ("seed", 0)):
        parser.add_argument(f"--{option}", type=int, default=default)
    wanted = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    chosen, faults = random.Random(wanted.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with contextlib.redirect_stdout(None):
            original = write(root)
        rounds = {signal.SIGKILL: wanted.kill, signal.SIGINT: wanted.interrupt, signal.SIGTERM: wanted.terminate}
        for number, times in rounds.items():
            shares = [chosen.uniform(0, 1.1) for _ in range(times)]
            ends = campaign(number, shares, root, original)
            faults += sum(runs for end, runs in ends.items() if "LOST" in end or "WRONG" in end)
            counted = ", ".join(f"{runs} {end}" for end, runs in sorted(ends.items()))
            print(f"{number.name}: {times} runs: {counted}", flush=True)
    print(f"{faults} faults; {timing.hardware()}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

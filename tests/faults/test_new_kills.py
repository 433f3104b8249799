"""A reduced count of `benchmarks/kill_new.py`: `scaffold new` is killed at random moments."""

import os
import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_killed_run_leaves_all_of_a_project_or_nothing(catalogue):
    catalogue()
    counts = ["--kill", "25", "--interrupt", "10", "--terminate", "10", "--template", "tagger"]
    ended = subprocess.run(
        [sys.executable, BENCHMARKS / "kill_new.py", *counts],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert len(re.findall(r"^SIG(?:KILL|INT|TERM): \d+ runs: .*absent", ended.stdout, re.MULTILINE)) == 3

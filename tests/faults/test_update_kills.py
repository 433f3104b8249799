"""A reduced count of `benchmarks/kill_update.py`: `scaffold update` is killed at random moments."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_killed_update_leaves_the_project_before_or_after_it_or_a_way_back():
    ended = subprocess.run(
        [sys.executable, BENCHMARKS / "kill_update.py", "--kill", "10", "--interrupt", "3", "--terminate", "3"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "\n0 faults" in ended.stdout

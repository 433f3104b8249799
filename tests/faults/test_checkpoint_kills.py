from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "kill_checkpoint.py"


def test_no_checkpoint_is_lost_when_its_process_is_killed_while_saving(tmp_path):
    """The full 300 kills: `python benchmarks/kill_checkpoint.py`."""
    killed = subprocess.run(
        [sys.executable, str(BENCHMARK), "--kills=30", "--rival-kills=0", "--no-timing"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(BENCHMARK.parents[1]), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert killed.returncode == 0, killed.stdout + killed.stderr
    assert "30 kills" in killed.stdout
    assert " 0 checkpoints lost, 0 files left over" in killed.stdout
    assert "in the middle of a save" in killed.stdout

"""What `scaffold check` costs over what it cannot do without, in one run.

    python benchmarks/check.py [--rounds 5]

static: seconds of `scaffold check --static` on a new project, minus a process that imports Hydra and composes the same
configs, which are the default one and one for each experiment; the budget is 0.15 s. composed: how many they are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

BUDGET = 0.15
COMPOSE = """
from hydra import compose, initialize_config_dir
with initialize_config_dir({conf!r}, version_base="1.3"):
    for overrides in {overrides!r}:
        compose("train", overrides)
"""
STATIC = "import sys; from scaffold.cli import main; sys.exit(main(['check', '--static']))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        spec = build(catalog.find("sequence-classifier"), "mymodel", {}, runtime_requirement="scaffold-ml[runtime]")
        project = create(spec, Path(folder) / "mymodel", git=False).path
        overrides = [[], *([f"experiment={path.stem}"] for path in (project / "conf" / "experiment").glob("*.yaml"))]
        programs = {"compose": COMPOSE.format(conf=str(project / "conf"), overrides=overrides), "static": STATIC}
        times = {name: [] for name in programs}
        for _ in range(rounds):  # in turns, so that a busy machine slows both
            for name, code in programs.items():
                times[name].append(seconds(code, project))
    found = {name: statistics.median(values) for name, values in times.items()}
    over = found["static"] - found["compose"]
    figures = {name: round(value, 3) for name, value in found.items()} | {"composed": len(overrides)}
    print(json.dumps(figures | {"over": round(over, 3), "budget": BUDGET, "ratio": round(over / BUDGET, 2)}))


def seconds(code: str, folder: Path) -> float:
    """Return the CPU seconds of a Python process, which other processes disturb less than wall time."""
    before = os.times()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


if __name__ == "__main__":
    main()

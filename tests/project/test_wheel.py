"""The built wheel is all that a person gets: it must hold the templates and work without the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    script = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheel = folder / built.stdout.split()[-1]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_every_template_file(installed):
    in_checkout = {path.relative_to(ROOT / "templates") for path in (ROOT / "templates").rglob("*") if path.is_file()}
    in_wheel = {
        path.relative_to(installed / "scaffold/_templates")
        for path in (installed / "scaffold/_templates").rglob("*")
        if path.is_file()
    }
    assert in_wheel == {path for path in in_checkout if "__pycache__" not in path.parts}


def test_a_project_is_written_from_the_wheel_alone(installed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    written = subprocess.run(
        [sys.executable, "-m", "scaffold", "new", "sequence-classifier", "mymodel", "--no-git"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert written.returncode == 0, written.stderr
    assert (tmp_path / "mymodel/mymodel/model.py").is_file()

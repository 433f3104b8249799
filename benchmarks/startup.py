"""`python benchmarks/startup.py`: how long `scaffold --help`, `list` and `new` take, against what they could take."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import timing

TEMPLATE = "sequence-classifier"
# What the installed script `scaffold` runs.
SCAFFOLD = [sys.executable, "-c", "import sys; from scaffold.cli import main; sys.exit(main())"]


def rendered_tree(folder: Path) -> Path:
    """Write a project, and return a template for copier that holds exactly its files, each to be rendered."""
    scaffold("new", TEMPLATE, "mymodel", "--into", str(folder), "--no-git")
    source = folder / "copier-template"
    for path in sorted(p for p in (folder / "mymodel").rglob("*") if p.is_file() and ".scaffold" not in p.parts):
        target = source / "tree" / f"{path.relative_to(folder / 'mymodel')}.jinja"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("{% raw %}" + path.read_text(encoding="utf-8") + "{% endraw %}", encoding="utf-8")
    (source / "copier.yml").write_text("_subdirectory: tree\n", encoding="utf-8")
    return source


def cookiecutter_tree(source: Path) -> Path:
    """Return the same tree as a template for cookiecutter."""
    target = source.parent / "cookiecutter-template"
    for path in sorted(p for p in (source / "tree").rglob("*") if p.is_file()):
        copy = target / "{{ cookiecutter.name }}" / path.relative_to(source / "tree").with_suffix("")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    (target / "cookiecutter.json").write_text(json.dumps({"name": "mymodel"}), encoding="utf-8")
    return target


def scaffold(*arguments: str) -> None:
    """Run the command line in a process of its own."""
    subprocess.run([*SCAFFOLD, *arguments], check=True, capture_output=True)


def subjects(folder: Path) -> dict[str, timing.Subject]:
    """Return what is measured, by the name of its row."""
    count = itertools.count()
    source = rendered_tree(folder)
    python = sys.executable

    def new() -> None:
        scaffold("new", TEMPLATE, "mymodel", "--into", str(fresh(folder, next(count))))

    def copy() -> None:
        target = fresh(folder, next(count)) / "mymodel"
        subprocess.run([python, "-m", "copier", "copy", "--quiet", "--defaults", source, target], check=True)

    rows: dict[str, timing.Subject] = {
        "python -c 'import click'": [python, "-c", "import click"],
        "scaffold --help": [*SCAFFOLD, "--help"],
        "scaffold list": [*SCAFFOLD, "list"],
        "copier copy": copy,
        "scaffold new": new,
    }
    if importlib.util.find_spec("cookiecutter"):
        tree = cookiecutter_tree(source)
        rows["cookiecutter"] = lambda: subprocess.run(
            [python, "-m", "cookiecutter", "--no-input", "-o", fresh(folder, next(count)), tree], check=True
        )
    return rows


def fresh(folder: Path, number: int) -> Path:
    """Return a new empty folder."""
    target = folder / f"run-{number}"
    target.mkdir()
    return target


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        seconds = timing.compare(subjects(Path(folder)), rounds)
    click, copier = "python -c 'import click'", "copier copy"
    rows: list[list[object]] = [["command", "median ms", "min ms", f"× {click}", f"× {copier}"]]
    for name, values in seconds.items():
        ratios = [f"{timing.ratio(seconds, name, to):.2f}" for to in (click, copier)]
        rows.append([name, f"{statistics.median(values) * 1000:.0f}", f"{min(values) * 1000:.0f}", *ratios])
    print(timing.table(rows))
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("click", "copier"))
    print(f"\n{timing.hardware()}; {versions}; {rounds} rounds, alternating")


if __name__ == "__main__":
    main()

"""The directions of imports that docs/explanation/design.md promises, read from the code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scaffold"
ALLOWED = {
    "cli": {"cli", "project", "check", "errors"},
    "project": {"project", "errors"},
    "check": {"check", "runtime", "errors"},
    "runtime": {"runtime", "errors"},
}
# Heavy libraries, and the only parts that may import them.
OWNERS = {
    "click": {"cli"},
    "copier": {"project"},
    "jinja2": {"project"},
    "torch": {"runtime", "check"},
    "lightning": {"runtime", "check"},
    "transformers": {"runtime", "check"},
    "hydra": {"runtime", "check"},
}


def imported(path: Path) -> Iterator[str]:
    """Yield the full names that a module imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(part: str) -> list[Path]:
    return sorted((PACKAGE / part).rglob("*.py"))


@pytest.mark.parametrize("part", ALLOWED)
def test_each_part_imports_only_what_lies_below_it(part):
    ours = {(path.name, name) for path in modules(part) for name in imported(path) if name.startswith("scaffold.")}
    wrong = {(file, name) for file, name in ours if name.split(".")[1] not in ALLOWED[part] | {"__version__"}}
    assert not wrong


@pytest.mark.parametrize("library", OWNERS)
def test_only_its_owner_imports_a_heavy_library(library):
    strangers = [path for part in ALLOWED if part not in OWNERS[library] for path in modules(part)]
    strangers += [PACKAGE / "__init__.py", PACKAGE / "errors.py"]
    wrong = [str(path) for path in strangers if library in {name.split(".")[0] for name in imported(path)}]
    assert not wrong


def test_only_the_dynamic_half_of_the_check_runs_models():
    dynamic = {path for path in modules("check") if path.name.startswith("prob") or path.parent.name == "dynamic"}
    for path in set(modules("check")) - dynamic:
        names = {name.split(".")[0] for name in imported(path)}
        assert not names & {"torch", "lightning", "transformers", "torchmetrics"}, path


def test_the_package_itself_imports_nothing():
    assert list(imported(PACKAGE / "__init__.py")) == []


def test_only_the_console_prints():
    for path in (*modules("cli"), *modules("project"), *modules("check")):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        printing = [call for call in calls if ast.unparse(call.func) in {"print", "sys.stdout.write", "click.echo"}]
        assert path.name == "console.py" or not printing, path


def test_only_the_program_exits():
    for path in (*modules("cli"), *modules("project"), *modules("check"), PACKAGE / "errors.py"):
        source = path.read_text(encoding="utf-8")
        assert "sys.exit" not in source, path
        assert "SystemExit" not in source, path

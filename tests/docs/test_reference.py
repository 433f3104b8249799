"""The reference pages leave nothing out, and what they name in passing exists."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Context

import scaffold.runtime
from scaffold.check.facts import facts_of
from scaffold.check.source import open_source
from scaffold.cli.app import scaffold_command
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
TEMPLATES = catalog.template_names()


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def prose(path: Path) -> str:
    """Return a page without its fences."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def codes(path: Path) -> list[str]:
    """Return what stands between backticks in the prose of a page."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose(path))]


def leads_somewhere(source: Path, target: str) -> bool:
    file, _, anchor = target.partition("#")
    found = source.parent / file if file else source
    return found.exists() and (not anchor or anchor in anchors(found))


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(path), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", title.lower())).strip("-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)) if "://" not in target]
    assert [target for target in targets if not leads_somewhere(path, target)] == []


def test_the_navigation_names_every_page():
    settings = yaml.safe_load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    named = set(re.findall(r"[\w/-]+\.md", str(settings["nav"])))
    assert named == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@pytest.mark.skipif(not (find_spec("mkdocs") and find_spec("material")), reason="needs mkdocs-material: make docs")
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert len(list(tmp_path.rglob("index.html"))) == len(list(DOCS.rglob("*.md")))


# The command line


def helped(module: str, *words: str) -> str:
    command = [sys.executable, "-m", module, *words, "--help"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


COMMANDS = [("scaffold", name) for name in scaffold_command.list_commands(Context(scaffold_command))]
COMMANDS += [("scaffold.runtime", name) for name in ("evaluate", "predict", "registered")]


@pytest.mark.parametrize("module, command", COMMANDS)
def test_every_option_of_a_command_is_explained(module, command):
    text = page("cli.md")
    assert re.search(rf"^#+ (python -m )?{re.escape(module)} {command}", text, re.MULTILINE)
    options = set(re.findall(r"(--[a-z-]+)", helped(module, command)))
    assert [option for option in sorted(options) if f"`{option}" not in text and f" {option}`" not in text] == []


def test_every_exit_code_has_a_row():
    from scaffold.errors import ScaffoldError
    from scaffold.runtime.training.signals import EXIT_CODES

    [table] = re.findall(r"## Exit codes\n(.*)", page("cli.md"), re.DOTALL)
    explained = {int(code) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in row.split(", ")}
    assert {ScaffoldError.exit_code, *(one.exit_code for one in ScaffoldError.__subclasses__())} <= explained
    assert set(EXIT_CODES.values()) <= explained


def test_every_command_of_a_project_is_explained():
    makefile = (REPOSITORY / "templates" / "_base" / "Makefile.jinja").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):.*##", makefile, re.MULTILINE)
    assert [target for target in targets if f"| `make {target}` |" not in page("cli.md")] == []


# The runtime


class Written:
    """An annotation as it stands in the code."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def as_written(annotation: Any) -> Any:
    annotation = getattr(annotation, "__forward_arg__", annotation)  # a NamedTuple wraps what stands in the code
    return Written(annotation) if isinstance(annotation, str) else annotation


def signature(found: Any) -> str:
    try:
        plain = inspect.signature(found)
    except ValueError:  # an exception, which takes its message
        return "(message)"
    parameters = [one.replace(annotation=as_written(one.annotation)) for one in plain.parameters.values()]
    returned = plain.empty if isinstance(found, type) else as_written(plain.return_annotation)
    return str(plain.replace(parameters=parameters, return_annotation=returned)) if parameters else ""


@pytest.mark.parametrize("name", scaffold.runtime.__all__)
def test_a_public_name_has_its_line(name):
    found = getattr(scaffold.runtime, name)
    line = f"- `{name}`: "
    if isinstance(found, type) or inspect.isroutine(found):
        line = f"- `{name}{signature(found)}`: {inspect.getdoc(found).partition(chr(10))[0]}"
    assert [written for written in page("runtime.md").splitlines() if written.startswith(line)], f"missing: {line}"


def test_every_hook_of_a_task_is_explained():
    from scaffold.runtime import BaseModule, Task

    hooks = [name for name, value in vars(Task).items() if isinstance(value, classmethod)]
    steps = ["training_step", "validation_step", "test_step", "predict_step", "batch_predict", "infer"]
    assert all(name in vars(BaseModule) for name in steps)
    text = page("runtime.md")
    assert [name for name in (*hooks, *steps, "configure_optimizers") if f"`{name}(" not in text] == []


# The settings


@pytest.fixture(scope="module")
def conf_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the config folder of a project of a template."""

    @cache
    def write(template: str) -> Path:
        spec = build(catalog.find(template), "mymodel", {}, runtime_requirement="")
        return create(spec, tmp_path_factory.mktemp("docs") / "mymodel", git=False).path / "conf"

    return write


@pytest.fixture
def conf(conf_of: Callable[[str], Path]) -> Path:
    """Return the config folder of a project that has every setting."""
    return conf_of("sequence-classifier")


def test_every_setting_is_explained(conf):
    from scaffold.runtime import TorchFactory
    from scaffold.runtime.config.data_settings import DataSettings
    from scaffold.runtime.encoders.options import PretrainedOptions, ScratchOptions

    settings = yaml.safe_load((conf / "train.yaml").read_text(encoding="utf-8"))
    names = set(settings) - {"defaults", "hydra"} | set(inspect.signature(TorchFactory).parameters)
    for options in (DataSettings, ScratchOptions, PretrainedOptions):
        names |= {field.name for field in dataclasses.fields(options)}
    assert [name for name in sorted(names) if f"`{name}`" not in page("how-to-train.md")] == []


def test_settings_named_in_passing_exist(conf_of):
    from scaffold.runtime import compose

    settings = [(path.stem, word) for path in PAGES for code in codes(path) for word in settings_in(code)]
    assert len(settings) > 10
    for page, setting in settings:
        compose(conf_of(page if page in TEMPLATES else "sequence-classifier"), setting)


def settings_in(code: str) -> list[str]:
    """Return the values that a command sets, but for sweeps, placeholders, and files that a page has written itself."""
    keys = r"(?:trainer|data|task|optim)\.[\w.]+|monitor|mode|logger|seed|patience"
    found = re.findall(rf"(?<!\S)\+?(?:{keys})=[\w.\[][^\s\"]*", code)
    return [] if "-m " in code else [word for word in found if not re.search("NAME|KEY|<", word)]


def test_commands_named_in_passing_exist():
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    spoken = [code.split() for path in PAGES for code in codes(path)]
    made = {words[1] for words in spoken if words[0] == "make" and len(words) > 1 and words[1].islower()}
    assert made <= targets | {"train", "train-hf", "train-loop", "evaluate", "predict", "check"}
    called = {words[1] for words in spoken if words[0] == "scaffold" and len(words) > 1 and words[1].isalpha()}
    assert {word for word in called if word.islower()} <= {command for _, command in COMMANDS}


def test_every_benchmark_has_its_row():
    programs = {
        path for path in (REPOSITORY / "benchmarks").glob("*.py") if "__main__" in path.read_text(encoding="utf-8")
    }
    named = re.findall(r"^\| `python (\S+)` \|", page("benchmarks.md"), re.MULTILINE)
    assert {REPOSITORY / name for name in named} == programs


# The templates


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_has_a_page_that_names_every_question_and_option(name):
    text = page(f"templates/{name}.md")
    assert text.startswith(f"# {name}\n")
    assert [question for question in catalog.find(name).questions if f"`{question}`" not in text] == []
    source = (REPOSITORY / "templates" / name / "{{ package }}" / "task.py.jinja").read_text(encoding="utf-8")
    [(base, options)] = re.findall(r"class \w+Options(?:\((\w+)\))?:\n(.*?)\n\n\n", source, re.DOTALL)
    inherited = [field.name for field in dataclasses.fields(getattr(scaffold.runtime, base))] if base else []
    names = [*inherited, *re.findall(r"^    (\w+):", options, re.MULTILINE)]
    assert [option for option in names if f"`task.{option}`" not in text] == []


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_s_page_names_the_facts_that_its_config_may_use(conf_of, name):
    project = open_source(conf_of(name).parent)
    facts = facts_of(project.code, project.model) or set()
    [line] = re.findall(r"^.*`\$\{fact:…\}` in `conf/model`.*$", page(f"templates/{name}.md"), re.MULTILINE)
    assert [fact for fact in sorted(facts) if f"`{fact}`" not in line] == []

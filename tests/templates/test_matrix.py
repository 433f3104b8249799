"""Every template, with every kind of answer: what it writes is clean, imports, trains, comes back and predicts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from scaffold.project import catalog, names

# what shells, Make, Jinja, OmegaConf, YAML, TOML and Python read as more than text
HOSTILE = (
    "$(touch pwned) `touch pwned` ${oc.env:HOME} {{ 7 * 7 }} {% raw %} #! %n \\ \"'",
    "''' \"\"\" - : [x]: {y} & *z !!python/object | > ü 漢字 \\n \\${a} $$HOME \\",
)
LONGEST = "m" * names.LONGEST_NAME
RUFF = (sys.executable, "-m", "ruff")


def cases() -> Iterator[object]:
    """Yield a template, a project's name, its answers and whether it is bare: all that the catalogue can tell apart."""
    for template in map(catalog.find, catalog.template_names()):
        texts = [question.name for question in template.questions.values() if question.free_text]
        yield case(template.name, "default")
        yield case(template.name, "awkward name", name="my-2nd_model")
        yield case(template.name, "longest name", name=LONGEST)
        for number, text in enumerate(HOSTILE, 1):
            yield case(template.name, f"hostile texts {number}", answers={name: f"{name} {text}" for name in texts})
        for question in template.questions.values():
            for choice in (not question.default,) if question.kind == "bool" else question.choices:
                if choice != question.default:
                    yield case(template.name, f"{question.name}={choice}", answers={question.name: str(choice)})
        yield case(template.name, "bare", bare=True)


def case(template: str, title: str, name: str = "mymodel", answers: dict[str, str] | None = None, bare: bool = False):
    return pytest.param(template, name, answers or {}, bare, id=f"{template}, {title}")


CASES = list(cases())
WHOLE = [one for one in CASES if not one.values[3]]


@pytest.mark.parametrize("template, name, answers, bare", CASES)
def test_what_is_written_is_clean(new, template, name, answers, bare):
    project = new(template, name, answers, bare=bare)
    assert scars(project, answers) == []
    assert subprocess.run([*RUFF, "check", "."], cwd=project, capture_output=True, text=True, check=False).stdout == (
        "All checks passed!\n"
    )
    formatting = subprocess.run(
        [*RUFF, "format", "--diff", "."], cwd=project, capture_output=True, text=True, check=False
    )
    assert (formatting.returncode, formatting.stdout) == (0, "")


def scars(project: Path, answers: dict[str, str]) -> list[str]:
    """Return what in the text files of a project shows that a program wrote them."""
    texts = {path: path.read_text(encoding="utf-8") for path in project.rglob("*") if is_text(path)}
    marks = r"(?!)" if "description" in answers else r"\{\{|\{%|\{#"  # a hostile description has some of its own
    patterns = {
        "three blank lines": r"\n\n\n\n",
        "trailing blanks": r"[ \t]+\n",
        "a blank line at the start": r"\A\n",
        "no line end, or several, at the end": r"[^\n]\Z|\n\n\Z",
        "an unrendered mark": marks,
    }
    found = [
        f"{path}: {what}" for path, text in texts.items() for what, form in patterns.items() if re.search(form, text)
    ]
    settings = {path: text for path, text in texts.items() if path.suffix in {".toml", ".yaml", ".yml"}}
    return found + [f"{path}: two blank lines" for path, text in settings.items() if "\n\n\n" in text]


def is_text(path: Path) -> bool:
    return path.is_file() and path.suffix not in {".zip", ".png", ".npz"}


@pytest.mark.parametrize("template, name, answers, bare", CASES)
def test_settings_parse_and_texts_come_back_exactly(new, opened, template, name, answers, bare):
    project = opened(new(template, name, answers, bare=bare))
    for path in (*project.rglob("*.yaml"), *project.rglob("*.yml")):
        yaml.safe_load(path.read_text(encoding="utf-8"))
    facts = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert facts["name"] == name
    if "description" in answers:
        assert facts["description"] == answers["description"]
        assert facts["authors"] == [{"name": answers["author"]}]
    if "pretrained_name" in answers:
        assert composed(project, "backbone=pretrained").backbone.name == answers["pretrained_name"]


def composed(project: Path, *overrides: str):
    from scaffold.runtime import compose

    return compose(project / "conf", *overrides)


@pytest.mark.parametrize("template, name, answers, bare", WHOLE)
def test_it_trains_comes_back_and_predicts_in_order(new, opened, tiny_pretrained, template, name, answers, bare):
    from scaffold.runtime import load_model
    from scaffold.runtime.commands import predict_file
    from scaffold.runtime.training import checkpoints

    if answers.get("backbone") == "pretrained":
        answers = {**answers, "pretrained_name": tiny_pretrained(template)}
    project = opened(new(template, name, answers))
    config = composed(project, "experiment=smoke", "run_dir=runs/one", "trainer.limit_train_batches=2")
    metrics = import_module("train").train(config)
    assert metrics["train/epochs"] == 1
    assert any(key.startswith("test/") for key in metrics)
    assert checkpoints.load("runs/latest/checkpoints/last.ckpt")["global_step"] == 2

    model = load_model("runs/latest/checkpoints/last.ckpt")
    assert type(model).__module__.partition(".")[0] == name.replace("-", "_")
    [source] = (project / "data").glob("test.*")
    assert predict_file("runs/latest", str(source), "predictions.jsonl", device="cpu") == 0
    assert predicted_rows(project / "predictions.jsonl") == rows_of(source, model, config)
    assert not list(project.rglob("pwned"))


def predicted_rows(path: Path) -> list[dict[str, object]]:
    """Return the input rows as a file of predictions repeats them."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row.pop("prediction") is not None
        found.append({key: value for key, value in row.items() if key not in {"score", "candidates", "start", "end"}})
    return found


def rows_of(source: Path, model, config) -> list[dict[str, object]]:
    from scaffold.runtime.config.data_settings import settings_of
    from scaffold.runtime.reading.formats import Schema
    from scaffold.runtime.reading.rows import stream_rows

    schema = Schema(model.sample_type, settings_of(config).columns, carry=True)
    rows = [model.as_row(sample, model.context) for sample in stream_rows(source, schema)]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]

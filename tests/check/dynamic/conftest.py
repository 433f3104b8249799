"""What the tests of dynamic rules share: projects to change, and lone classes to check."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from scaffold.check import Report, check_path
from scaffold.project import catalog
from scaffold.project.create import create
from scaffold.project.spec import build


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a project of a template and answers, called mymodel, which must not be changed."""
    made: dict[str, Path] = {}

    def write(template: str, answers: dict[str, object]) -> Path:
        key = f"{template} {answers}"
        if key not in made:
            spec = build(catalog.find(template), "mymodel", answers, runtime_requirement="scaffold-ml[runtime]")
            made[key] = create(spec, tmp_path_factory.mktemp("pristine") / "mymodel", git=False).path
        return made[key]

    return write


@pytest.fixture
def project_of(pristine: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a copy of a template's project, which is the current folder."""

    def copy(template: str = "sequence-classifier", **answers: object) -> Path:
        folder = Path(shutil.copytree(pristine(template, answers), tmp_path / "mymodel"))
        monkeypatch.chdir(folder)
        return folder

    return copy


PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "a", "is", "play", "music", "timer", "rain", "buy"]


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of an untrained BERT with its tokenizer, as `save_pretrained` leaves it."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(PIECES), **sizes)).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def lone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Report]:
    """Write a file with a class Model and return what some rules say of it."""
    monkeypatch.chdir(tmp_path)

    def check(text: str, *rules: str, task: str = "sequence", **init: object) -> Report:
        (tmp_path / "model.py").write_text(dedent(text), encoding="utf-8")
        return check_path("model.py:Model", task=task, init=init, only=rules)

    return check

"""A class of the person's own becomes the project's model: read, copied, registered, and told what does not fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from scaffold.errors import UsageError
from scaffold.project import bring, catalog
from scaffold.project.spec import build

FITTING = '''"""My model."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Mine(nn.Module):
    """Mine."""

    def __init__(self, vocab_size: int, num_classes: int, width: int = 16, drop: float = 0.1, sizes=(1, 2)):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, input_ids, attention_mask, labels=None):
        from scaffold.runtime import ClassificationOutput, mean_pool

        logits = self.head(mean_pool(self.embedding(input_ids), attention_mask))
        return ClassificationOutput(logits=logits, loss=None if labels is None else F.cross_entropy(logits, labels))
'''

ODD = """
from .layers import Layer

class Mine(Layer):
    def __init__(self, width: int, act=Layer(), *rest, deep: bool = True):
        pass

    def forward(self, input_ids, lengths, labels=None):
        outputs = {"logits": input_ids}
        return outputs
"""


@pytest.fixture
def spec():
    return build(catalog.find("encoder"), "mymodel", {}, runtime_requirement="")


def written(folder: Path, text: str) -> str:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return f"{path}:Mine"


def test_a_class_is_copied_and_registered_and_nothing_else_is_changed(spec, tmp_path):
    text = bring.edits(bring.read(written(tmp_path, FITTING)), spec)["mymodel/model.py"]
    added = [line for line in text.splitlines() if line not in FITTING.splitlines()]
    assert added == ["from scaffold.runtime import register", '@register("mymodel")']
    assert [line for line in text.splitlines() if line not in added] == FITTING.splitlines()
    compile(text, "model.py", "exec")


def test_the_config_has_each_argument_with_its_type_and_default(spec, tmp_path):
    text = bring.edits(bring.read(written(tmp_path, FITTING)), spec)["conf/model/mymodel.yaml"]
    assert yaml.safe_load(text)["model_kwargs"] == {
        "vocab_size": "${fact:num_tokens}",
        "num_classes": "${fact:num_labels}",
        "width": 16,
        "drop": 0.1,
        "sizes": [1, 2],
    }
    assert "  width: 16 # int\n" in text


def test_a_class_that_fits_is_told_nothing(spec, tmp_path):
    assert bring.misfits(bring.read(written(tmp_path, FITTING)), spec) == []


def test_what_does_not_fit_is_said(spec, tmp_path):
    brought = bring.read(written(tmp_path, ODD))
    assert bring.misfits(brought, spec) == [
        "__init__ takes * or **: only the arguments that it names are in the config",
        "model_kwargs.width (int) needs a value: ??? stands there",
        "the default of act is no plain data, so it is not in the config",
        "forward takes no attention_mask, which every batch has",
        "nothing gives forward its argument lengths",
        "forward returns a dict: return ClassificationOutput(logits=…, loss=…), which is one, too",
        "line 2 imports from beside the file, which is not copied: from .layers import Layer",
    ]
    kwargs = yaml.safe_load(bring.edits(brought, spec)["conf/model/mymodel.yaml"])["model_kwargs"]
    assert kwargs == {"width": "???", "deep": True}


def test_a_class_with_nothing_says_what_is_missing(spec, tmp_path):
    brought = bring.read(written(tmp_path, "class Mine:\n    pass\n"))
    assert bring.misfits(brought, spec) == [
        "Mine has no __init__ of its own: its arguments are not known",
        "Mine has no forward",
    ]
    assert "model_kwargs: {}\n" in bring.edits(brought, spec)["conf/model/mymodel.yaml"]


def test_a_sink_in_forward_is_named(spec, tmp_path):
    text = "class Mine:\n    def __init__(self): ...\n    def forward(self, input_ids, labels=None, **rest): ...\n"
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == [
        "forward passes over attention_mask: its ** takes what it does not name"
    ]


@pytest.mark.parametrize(
    "place, message",
    [
        ("mine.py", "names no class"),
        ("none.py:Mine", "none.py cannot be read"),
        ("mine.py:Mein", r"did you mean Mine\?"),
        ("broken.py:Mine", "broken.py is not Python"),
    ],
)
def test_a_place_that_is_none_is_told(tmp_path, monkeypatch, place, message):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, FITTING)
    Path("broken.py").write_text("class Mine(:\n", encoding="utf-8")
    with pytest.raises(UsageError, match=message) as problem:
        bring.read(place)
    assert problem.value.exit_code == 2


def test_a_template_whose_model_is_more_than_a_module_takes_none(tmp_path):
    other = build(catalog.find("sequence-classifier"), "mymodel", {}, runtime_requirement="")
    with pytest.raises(UsageError, match="sequence-classifier takes no class of your own"):
        bring.edits(bring.read(written(tmp_path, FITTING)), other)


def test_new_writes_the_project_around_the_class_and_runs_nothing(scaffold):
    Path("mine.py").write_text(FITTING + "\nraise SystemExit('do not run me')\n", encoding="utf-8")
    result = scaffold("new", "encoder", "mymodel", "--from", "mine.py:Mine", "--no-git", "--json")
    assert (result.code, json.loads(result.out)["misfits"]) == (0, [])
    assert '@register("mymodel")\nclass Mine' in Path("mymodel/mymodel/model.py").read_text(encoding="utf-8")


def test_new_says_what_does_not_fit_yet(scaffold):
    Path("mine.py").write_text("class Mine:\n    def __init__(self): ...\n", encoding="utf-8")
    result = scaffold("new", "encoder", "mymodel", "--from", "mine.py:Mine", "--no-git")
    assert result.out.endswith("What does not fit yet:\n  - Mine has no forward\n")


def test_the_class_trains_at_once(scaffold, opened):
    from importlib import import_module

    from scaffold.runtime import compose

    Path("mine.py").write_text(FITTING, encoding="utf-8")
    scaffold("new", "encoder", "mymodel", "--from", "mine.py:Mine", "--no-git")
    opened(Path("mymodel").absolute())
    metrics = import_module("train_loop").train(compose("conf", "experiment=smoke"))
    assert "test/accuracy" in metrics

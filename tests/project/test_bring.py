"""A class of the person's own becomes the project's model: read, copied, registered, and told what does not fit."""

from __future__ import annotations

import json
import subprocess
import sys
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
        "Mine has no base: write class Mine(nn.Module)",
        "Mine has no forward",
    ]
    assert "model_kwargs: {}\n" in bring.edits(brought, spec)["conf/model/mymodel.yaml"]


def test_a_sink_in_forward_is_named(spec, tmp_path):
    text = (
        "class Mine(Module):\n    def __init__(self): ...\n    def forward(self, input_ids, labels=None, **rest): ...\n"
    )
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == [
        "forward passes over attention_mask: its ** takes what it does not name"
    ]


FORWARD = """
import torch
from torch import nn
from torch.nn import functional as F

class Mine(nn.Module):
    def __init__(self, hidden: int = 4):
        super().__init__()
        self.head = nn.Linear(hidden, 2)
        self.body = nn.Sequential(nn.ReLU(), nn.Dropout(0.1))
        self.rnn = nn.GRU(hidden, hidden)
        self.own = Own()

    def forward(self, input_ids, attention_mask, labels=None){declared}:
        x = self.own(input_ids)
        {body}
"""


@pytest.mark.parametrize(
    "body, found",
    [
        ("return self.head(x)", "a bare tensor"),
        ("return self.head(x).squeeze(-1) if labels is None else F.cross_entropy(x, labels)", "a bare tensor"),
        ("x = self.body(x)\n        return x", "a bare tensor"),
        ("x = F.relu(x)\n        x = x.mean(1)\n        return x", "a bare tensor"),
        ("return self.rnn(x)", "a tuple"),
        ("logits = self.head(x)\n        return logits, F.cross_entropy(logits, labels)", "a tuple"),
        ("if labels is None:\n            return self.head(x)\n        return x, x", "a bare tensor or a tuple"),
        ("return self.own(x)", ""),
        ("x = F.relu(x)\n        if labels is None:\n            x = Output(x)\n        return x", ""),
        ("if labels is None:\n            return self.head(x), x\n        return Output(x)", ""),
        ("x, y = self.rnn(x)\n        return x", ""),
        ("def inner():\n            return 1, 2\n        return self.own(inner())", ""),
    ],
)
def test_what_forward_surely_returns_is_said_and_nothing_else(spec, tmp_path, body, found):
    text = FORWARD.replace("{body}", body).replace("{declared}", "")
    said = [f"forward returns {found}: return ClassificationOutput(logits=…, loss=…)"] if found else []
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == said


def test_a_tensor_that_is_declared_is_believed(spec, tmp_path):
    text = FORWARD.replace("{body}", "return x").replace("{declared}", " -> torch.Tensor")
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == [
        "forward returns a bare tensor: return ClassificationOutput(logits=…, loss=…)"
    ]


def test_a_class_whose_bases_are_no_modules_is_told(spec, tmp_path):
    text = "class Base(object): ...\n\n\nclass Mine(Base):\n    def __init__(self): ...\n"
    text += "    def forward(self, input_ids, attention_mask, labels=None): ...\n"
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == ["Mine has no base: write class Mine(nn.Module)"]


@pytest.mark.parametrize(
    "base, said", [("nn.Module", []), ("Backbone", ["Mine has no __init__ of its own: its arguments are not known"])]
)
def test_arguments_are_unknown_only_below_a_base_from_elsewhere(spec, tmp_path, base, said):
    text = f"class Mine({base}):\n    def forward(self, input_ids, attention_mask, labels=None): ...\n"
    assert bring.misfits(bring.read(written(tmp_path, text)), spec) == said


def test_a_size_that_is_none_by_default_needs_a_value(spec, tmp_path):
    text = "class Mine(nn.Module):\n    def __init__(self, vocab: int | None = None, width=None, device=None):\n"
    text += "        width = width or 8\n        self.layer = nn.Embedding(vocab, width, device=device)\n"
    text += "    def forward(self, input_ids, attention_mask, labels=None): ...\n"
    brought = bring.read(written(tmp_path, text))
    assert bring.misfits(brought, spec) == ["model_kwargs.vocab (int | None) needs a value: ??? stands there"]
    kwargs = yaml.safe_load(bring.edits(brought, spec)["conf/model/mymodel.yaml"])["model_kwargs"]
    assert kwargs == {"vocab": "???", "width": None, "device": None}


def test_a_package_beside_the_file_is_named_wherever_it_is_imported(spec, tmp_path):
    (tmp_path / "layers").mkdir()
    (tmp_path / "layers/__init__.py").touch()
    text = FITTING.replace("        from scaffold", "        from layers.one import Layer\n        from scaffold")
    [said] = bring.misfits(bring.read(written(tmp_path, text)), spec)
    assert said.endswith("imports from beside the file, which is not copied: from layers.one import Layer")


HEADS = {
    "docstring": '"""My model."""\n',
    "standard library": "import math\nfrom pathlib import Path\n",
    "packages": "import math\n\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n",
    "before all packages": "from torch import nn\n",
    "after others": "from __future__ import annotations\n\nimport numpy as np\nfrom lightning import Trainer\n",
    "relative": "from .layers import Layer\n",
    "the runtime": "from scaffold.runtime import BaseModel, max_pool, span_loss\nfrom torch import nn\n",
    "the runtime, in lines": "from scaffold.runtime import (\n    BaseModel,\n    span_loss,\n)\n",
    "registered": "from scaffold.runtime import BaseModel, register\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_the_copy_is_as_clean_as_the_original(spec, tmp_path, head):
    text = f"{head}\n\nclass Mine:\n    a = 1\n"
    copy = tmp_path / "copy.py"
    copy.write_text(bring.edits(bring.read(written(tmp_path, text)), spec)["mymodel/model.py"], encoding="utf-8")
    assert copy.read_text(encoding="utf-8").count("register\n") + head.count("span_loss") >= 1
    for command in (["check", "--select", "I"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *command, "--isolated", "--config", "line-length=120", str(copy)]
        ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, copy.read_text(encoding="utf-8") + ended.stdout


AWKWARD = """
from torch import nn
import layers


class Base(nn.Module):
    def __init__(self, vocab_size, /, yes: str = "${x} 'ü' # \\\\", no: bool = True, null=None):
        super().__init__()

    def forward(self, input_ids, attention_mask, labels=None): ...


class Mine(Base):
    pass
"""


def test_what_a_base_in_the_same_file_takes_counts(spec, tmp_path):
    (tmp_path / "layers.py").touch()
    assert bring.misfits(bring.read(written(tmp_path, AWKWARD)), spec) == [
        "vocab_size stands before a / and cannot be given by its name: take the / out of __init__",
        "line 3 imports from beside the file, which is not copied: import layers",
    ]


def test_names_and_texts_that_yaml_and_the_config_would_read_otherwise_come_back_as_they_are(spec, tmp_path):
    from omegaconf import OmegaConf

    text = bring.edits(bring.read(written(tmp_path, AWKWARD)), spec)["conf/model/mymodel.yaml"]
    kwargs = OmegaConf.to_container(
        OmegaConf.create(text.replace("${fact:num_tokens}", "7"))["model_kwargs"], resolve=True
    )
    assert kwargs == {"vocab_size": 7, "yes": "${x} 'ü' # \\", "no": True, "null": None}


def test_an_image_classifier_takes_a_class_too(tmp_path):
    spec = build(catalog.find("image-classifier"), "mymodel", {}, runtime_requirement="")
    text = "class Mine(Module):\n    def __init__(self, in_channels=3, num_classes=10, depth: int = 2): ...\n"
    text += "    def forward(self, pixel_values, labels=None): ...\n"
    brought = bring.read(written(tmp_path, text))
    assert bring.misfits(brought, spec) == []
    kwargs = yaml.safe_load(bring.edits(brought, spec)["conf/model/mymodel.yaml"])["model_kwargs"]
    assert kwargs == {"in_channels": "${fact:channels}", "num_classes": "${fact:num_labels}", "depth": 2}


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


@pytest.mark.parametrize("template", ["encoder", "image-classifier"])
def test_what_the_project_says_of_its_model_is_true_of_any_class(scaffold, template):
    Path("mine.py").write_text(FITTING, encoding="utf-8")
    scaffold("new", template, "mymodel", "--from", "mine.py:Mine", "--no-git")
    own = [
        Path("mymodel/mymodel/task.py"),
        *(path for end in ("md", "yaml") for path in Path("mymodel").rglob(f"*.{end}")),
    ]
    assert len(own) > 5
    for word in ("criterion", "dropout", "input_dim", "output_dim"):
        assert [path for path in own if word in path.read_text(encoding="utf-8")] == []


def test_new_says_what_does_not_fit_yet(scaffold):
    Path("mine.py").write_text("class Mine(Module):\n    def __init__(self): ...\n", encoding="utf-8")
    result = scaffold("new", "encoder", "mymodel", "--from", "mine.py:Mine", "--no-git")
    assert "\n\n  cd mymodel\n  make check\n\n" in result.out
    assert result.out.endswith(
        "What does not fit yet:\n  - Mine has no forward\n\nMend these, then run `make check`.\n"
    )


def test_a_class_of_ones_own_and_stubs_exclude_each_other(scaffold):
    Path("mine.py").write_text(FITTING, encoding="utf-8")
    result = scaffold("new", "encoder", "mymodel", "--bare", "--from", "mine.py:Mine")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: --bare and --from cannot both be given\n")
    assert not Path("mymodel").exists()


def test_the_class_trains_at_once(scaffold, opened):
    from importlib import import_module

    from scaffold.runtime import compose

    Path("mine.py").write_text(FITTING, encoding="utf-8")
    scaffold("new", "encoder", "mymodel", "--from", "mine.py:Mine", "--no-git")
    opened(Path("mymodel").absolute())
    metrics = import_module("train_loop").train(compose("conf", "experiment=smoke"))
    assert "test/accuracy" in metrics

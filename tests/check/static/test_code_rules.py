"""Rules on the code alone: names, removed calls, hidden state, devices, unused layers."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from scaffold.check import removed

MODULE = """
import copy
import torch
import torchmetrics
from torch import nn


def block(size):
    return nn.Sequential(nn.Linear(size, size), nn.ReLU())


class Block(nn.Module):
    pass


class Model(nn.Module):
    def __init__(self, size, weights, layer):
        super().__init__()
        {init}

    def forward(self, input_ids, attention_mask, labels=None):
        {forward}
        return input_ids
"""


def findings(lone, rule, init="pass", forward="pass"):
    text = MODULE.format(init=init.replace("\n", "\n        "), forward=forward.replace("\n", "\n        "))
    return lone(text, rule).findings


@pytest.mark.parametrize(
    "init",
    [
        "self.layers = [nn.Linear(3, 3)]",
        "self.layers = {'a': nn.Linear(3, 3)}",
        "self.layers = (nn.Linear(3, 3), nn.ReLU())",
        "self.layers = [nn.Linear(size, size) for _ in range(3)]",
        "self.layers = list(Block() for _ in range(3))",
        "self.layers = [block(size) for _ in range(3)]",
        "self.layers = []\nfor _ in range(3):\n    self.layers.append(block(size))",
        "layers = []\nfor _ in range(3):\n    layers.append(nn.Linear(3, 3))\nself.layers = layers",
        "self.layers = {}\nself.layers['a'] = Block()",
        "self.metrics = {'val': torchmetrics.MeanMetric()}",
        "self.weights = [nn.Parameter(torch.ones(3))]",
        "first = nn.Linear(3, 3)\nself.layers = [first, copy.deepcopy(first)]",
        "self.places = torch.arange(10)",
        "self.mask = torch.triu(torch.ones(8, 8)).bool()",
        "self.weights = torch.tensor(weights)",
        "self.tables = [torch.zeros(3)]",
    ],
)
def test_what_pytorch_does_not_see_is_found(lone, init):
    [finding] = findings(lone, "hidden-state", init)
    assert finding.line


@pytest.mark.parametrize(
    "init",
    [
        "self.layers = nn.ModuleList([nn.Linear(3, 3)])",
        "layers = [nn.Linear(3, 3), nn.ReLU()]\nself.layers = nn.Sequential(*layers)",
        "self.layers = [nn.Linear(3, 3)]\nself.layers = nn.ModuleList(self.layers)",
        "self.register_buffer('places', torch.arange(10))",
        "self.weight = nn.Parameter(torch.ones(3))",
        "self.loss = nn.CrossEntropyLoss(weight=torch.tensor(weights))",
        "self.sizes = [1, 2]",
        "self.size = torch.tensor(weights).sum().item()",
        "self.teacher = [layer]",
        "self.rates = torch.linspace(0, 1, 3).tolist()",
    ],
)
def test_what_pytorch_sees_or_need_not_see_is_left_alone(lone, init):
    assert findings(lone, "hidden-state", init) == ()


def test_a_layer_of_the_class_is_shared_and_hidden(lone):
    [finding] = lone(
        "from torch import nn\n\nclass Model(nn.Module):\n    head = nn.Linear(3, 3)\n", "hidden-state"
    ).findings
    assert "all its objects share" in finding.message


@pytest.mark.parametrize(
    "forward, severity",
    [
        ("input_ids = input_ids.cuda()", "error"),
        ("input_ids = input_ids.to('cuda:1')", "error"),
        ("input_ids = input_ids.to(torch.device('cuda' if torch.cuda.is_available() else 'cpu'))", "error"),
        ("input_ids = input_ids.to('cpu')", "error"),
        ("input_ids = input_ids + torch.ones(3, device='cuda')", "error"),
        ("input_ids = input_ids + torch.ones(3)", "warning"),
        ("mask = torch.zeros(input_ids.shape)\ninput_ids = input_ids + mask", "warning"),
        ("input_ids = torch.cat([input_ids, torch.tensor([1, 2])])", "warning"),
    ],
)
def test_a_device_that_is_fixed_is_found(lone, forward, severity):
    assert [finding.severity for finding in findings(lone, "fixed-device", forward=forward)] == [severity]


@pytest.mark.parametrize(
    "forward",
    [
        "input_ids = input_ids + torch.ones(3, device=input_ids.device)",
        "input_ids = input_ids + torch.ones(3).to(input_ids.device)",
        "mask = torch.ones(3)\nmask = mask.to(input_ids)\ninput_ids = input_ids + mask",
        "input_ids = input_ids[torch.arange(3), 0]",
        "rows = torch.arange(3)\ninput_ids = input_ids[rows, 0]",
        "if torch.rand(1) < 0.5:\n    input_ids = input_ids + 1",
        "input_ids = input_ids * torch.tensor(0.5)",
        "seen = input_ids.cpu().tolist()",
        "input_ids = input_ids + torch.zeros_like(input_ids) + input_ids.new_zeros(3)",
    ],
)
def test_tensors_that_go_where_the_others_are_are_left_alone(lone, forward):
    assert findings(lone, "fixed-device", forward=forward) == ()


def test_a_helper_that_forward_calls_is_part_of_it(lone):
    text = """
        import torch
        from torch import nn

        def causal(length):
            return torch.ones(length, length).tril()

        class Model(nn.Module):
            def forward(self, input_ids):
                return input_ids * causal(input_ids.shape[1])
    """
    [finding] = lone(text, "fixed-device").findings
    assert finding.line == 6


@pytest.mark.parametrize(
    "init, forward, measured",
    [
        ("self.fc1 = nn.Linear(3, 3)", "pass", ["fc1"]),
        ("self.fc1 = nn.Linear(3, 3)", "input_ids = self.fc1(input_ids)", []),
        ("self.fc1 = nn.Linear(3, 3)", "input_ids = getattr(self, 'fc1')(input_ids)", []),
        ("self.fc1 = nn.Linear(3, 3)", "for layer in self.children():\n    input_ids = layer(input_ids)", []),
        ("self.fc1 = self.fc2 = nn.Linear(3, 3)", "input_ids = self.fc2(input_ids)", ["fc1"]),
    ],
)
def test_a_layer_that_nothing_mentions_is_found(lone, init, forward, measured):
    assert [finding.measured for finding in findings(lone, "unused-layer", init, forward)] == measured


@pytest.mark.parametrize(
    "forward, count",
    [
        ("self.fc(input_ids)", 1),
        ("hidden = self.fc(input_ids)", 1),
        ("hidden = self.fc(input_ids)\nhidden = input_ids + 1\nreturn hidden", 1),
        ("hidden = self.fc(input_ids)\nreturn hidden", 0),
        ("_ = self.fc(input_ids)", 0),
        ("hidden = input_ids\nfor _ in range(3):\n    input_ids = hidden\n    hidden = self.fc(input_ids)", 0),
        ("if labels is None:\n    hidden = self.fc(input_ids)\nelse:\n    hidden = labels\nreturn hidden", 0),
        ("self.accuracy(input_ids, labels)", 0),
    ],
)
def test_a_result_that_nothing_reads_is_found(lone, forward, count):
    init = "self.fc = nn.Linear(3, 3)\nself.accuracy = torchmetrics.MeanMetric()"
    assert len(findings(lone, "unused-result", init, forward)) == count


@pytest.mark.parametrize(
    "text, names",
    [
        ("def f():\n    return x\n", ["x"]),
        ("def f():\n    return [y for y in range(3)], y\n", ["y"]),
        ("class A:\n    size = 3\n    def f(self):\n        return size\n", ["size"]),
        ("f = lambda a: a + b\n", ["b"]),
        ("def f(a=c):\n    return a\n", ["c"]),
        ("@decorate\ndef f():\n    pass\n", ["decorate"]),
        ("def f() -> Tensor:\n    pass\n", ["Tensor"]),
        ("print(later)\nimport os\n", ["later"]),
        ("from __future__ import annotations\ndef f() -> Tensor:\n    pass\n", []),
        ("def f():\n    return later\nlater = 1\n", []),
        ("def f():\n    global made\n    made = 1\ndef g():\n    return made\n", []),
        ("try:\n    import numpy as np\nexcept ImportError:\n    np = None\nprint(np, __file__, __name__)\n", []),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\ndef f():\n    return os\n", ["os"]),
        (
            "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import os\n"
            "def f(a: os.PathLike) -> os.PathLike:\n    return a\n",
            [],
        ),
        ("try:\n    get_ipython()\nexcept NameError:\n    pass\n", []),
        ("class A:\n    def f(self):\n        return __class__, super().f()\n", []),
        ("for i in range(3):\n    with open('a') as f:\n        print(f, i, (n := 3), n)\n", []),
        ("match [1]:\n    case [first, *rest]:\n        print(first, rest)\n", []),
        ("def f():\n    a = 1\n    def g():\n        nonlocal a\n        a = 2\n        return a\n    return g\n", []),
    ],
)
def test_names_that_nothing_defines_are_found(lone, text, names):
    found = lone(text + "\nclass Model:\n    pass\n", "undefined-name").findings
    assert [finding.measured for finding in found] == names


def test_a_star_import_may_define_any_name(lone):
    report = lone("from torch import *\n\nclass Model:\n    x = zeros(3)\n", "undefined-name")
    assert report.findings == ()
    assert "import *" in report.not_checked[0].reason


@pytest.mark.parametrize(
    "text, count",
    [
        ("from torchmetrics import F1Score\nF1Score(num_classes=3)", 1),
        ("from torchmetrics.classification import Accuracy\nAccuracy('multiclass')", 1),
        ("import torchmetrics\ntorchmetrics.Accuracy('binary')", 0),
        ("from torchmetrics.classification import MulticlassAccuracy\nMulticlassAccuracy(3)", 0),
        ("import torchmetrics.functional as F\nF.accuracy(a, b)", 1),
        ("from torchmetrics import Accuracy\nAccuracy(**options)", 0),
        ("from transformers import AdamW", 1),
        ("from transformers.optimization import AdamW", 1),
        ("from torchmetrics.classification.accuracy import Accuracy\nAccuracy()", 1),
        ("from pytorch_lightning.metrics import Accuracy", 1),
        ("from torchmetrics.functional.classification import accuracy\naccuracy(a, b)", 1),
        ("try:\n    from transformers import AdamW\nexcept ImportError:\n    from torch.optim import AdamW", 0),
        ("import transformers\ntransformers.AdamW([])", 1),
        ("tokenizer.encode_plus('a')", 1),
        ("with tokenizer.as_target_tokenizer():\n    pass", 1),
        ("from transformers import TrainingArguments\nTrainingArguments(evaluation_strategy='epoch', no_cuda=True)", 2),
        ("from transformers import Trainer\nTrainer(tokenizer=None)", 1),
        ("from transformers import pipeline\npipeline('summarization')\npipeline('text-classification')", 1),
        ("import pytorch_lightning as pl\npl.Trainer(gpus=1, max_epochs=3)", 1),
        ("import lightning as L\nL.Trainer(resume_from_checkpoint='a')", 1),
        ("class Own:\n    def encode_plus(self):\n        pass\nOwn().encode_plus()", 0),
    ],
)
def test_what_the_libraries_no_longer_have_is_found(lone, text, count):
    found = lone(f"{text}\n\nclass Model:\n    pass\n", "removed-call").findings
    assert len(found) == count
    assert all(finding.fix.startswith("Use ") for finding in found)


def test_the_table_of_what_is_gone_is_true():
    transformers, torchmetrics, pl = map(import_module, ("transformers", "torchmetrics", "lightning.pytorch"))
    assert not [name for name in removed.NAMES if is_there(name)]
    homes = (pl.LightningModule, pl.Callback, pl.LightningDataModule)
    assert not [hook for hook in removed.HOOKS if any(hasattr(home, hook) for home in homes)]
    assert not [name for name in removed.METHODS if hasattr(transformers.PreTrainedTokenizerFast, name)]
    for name, arguments in removed.ARGUMENTS.items():
        home, _, last = name.rpartition(".")
        taken = inspect.signature(getattr(import_module(home), last).__init__).parameters
        assert not [argument for argument in arguments if argument in taken], name
    for name in removed.METRICS:
        with pytest.raises(TypeError, match="task"):
            getattr(torchmetrics, name)()


def test_the_hooks_that_may_be_meant_exist():
    from scaffold.check.static.unknown_hook import HOOKS

    pl = import_module("lightning.pytorch")
    homes = (pl.LightningModule, pl.Callback, pl.LightningDataModule)
    assert [hook for hook in sorted(HOOKS) if not any(hasattr(home, hook) for home in homes)] == []


@pytest.mark.parametrize(
    "init, forward, measured",
    [
        ("self.dropout = nn.Dropout()", "input_ids = self.droput(input_ids)", ["droput"]),
        ("self.dropout = nn.Dropout()", "input_ids = self.drop_out(input_ids)", ["drop_out"]),
        ("self.norm = nn.LayerNorm(8)", "input_ids = self.nrom(input_ids)", ["nrom"]),
        ("self.W = nn.Linear(8, 8)", "input_ids = self.w(input_ids)", ["w"]),
        ("self.dropout = nn.Dropout()", "input_ids = self.dropout(input_ids)", []),
        ("self.train_ing = 1", "input_ids = self.training", []),
        ("setattr(self, 'dropouts', 1)\nself.dropout = 1", "input_ids = self.dropouts", []),
        ("self.head = 1", "input_ids = self.nothing_like_it", []),
    ],
)
def test_an_attribute_that_nothing_sets_is_found_where_a_near_one_is(lone, init, forward, measured):
    assert [finding.measured for finding in findings(lone, "unknown-attribute", init, forward)] == measured


def test_the_names_that_every_module_has_are_known():
    from scaffold.check.inherited import INHERITED

    pl = import_module("lightning.pytorch")
    names = {*dir(pl.LightningModule), *vars(pl.LightningModule())} - {"smart_apply"}  # transformers may have added it
    assert [name for name in sorted(names - INHERITED) if name[0] != "_"] == []


def is_there(name):
    home, _, last = name.rpartition(".")
    try:
        return hasattr(import_module(home), last)
    except ImportError:
        return False

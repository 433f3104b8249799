"""A project whose rows become several features: the smallest task that uses every hook of the runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MODULE = '''
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from scaffold.runtime import (
    BadRow, BaseModule, ClassificationOutput, Context, Contract, Prediction, Sample, Task, Vocabulary, encode_text,
    mean_pool, pad_inputs,
)
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy


@dataclass
class WindowSample(Sample):
    text: str
    label: str | None = None


@dataclass(frozen=True)
class WindowOptions:
    words: int = 3
    at_least: int = 0


class WindowTask(Task):
    """A label for a text that is read in windows of a few words each."""

    contract = Contract("windows", inputs=("input_ids", "attention_mask"))
    sample_type = WindowSample
    options_type = WindowOptions

    @classmethod
    def texts(cls, sample):
        return [sample.text]

    @classmethod
    def fit(cls, samples, options, processor, vocabulary=None):
        vocabulary = vocabulary or Vocabulary.from_samples({"labels": sample.label} for sample in samples)
        return Context(options, vocabulary, processor, {"num_labels": vocabulary.size("labels")})

    @classmethod
    def encode(cls, sample, context, stage):
        words, size = sample.text.split(), context.options.words
        if "bad" in words:
            raise BadRow("expected good words, got 'bad'")
        if stage == "train" and len(words) < context.options.at_least:
            return []
        windows = [" ".join(words[start : start + size]) for start in range(0, len(words), size)]
        features = [encode_text(context.processor, window, max_length=64) for window in windows]
        if stage != "predict":
            for feature in features:
                feature["labels"] = context.vocabulary.index("labels", sample.label)
        return features

    @classmethod
    def collate(cls, features, context, stage, rng):
        batch = pad_inputs(features, context.processor)
        if stage != "predict":
            batch["labels"] = torch.tensor([feature["labels"] for feature in features])
        return batch

    @classmethod
    def num_items(cls, batch):
        return len(batch["labels"])

    @classmethod
    def build_metrics(cls, context):
        return MetricCollection({"accuracy": MulticlassAccuracy(context.facts["num_labels"], average="micro")})

    @classmethod
    def update_metrics(cls, metrics, output, batch, context): ...

    @classmethod
    def decode(cls, output, batch, context):
        places = batch.owners if batch.owners is not None else np.arange(len(output.logits))
        sums = torch.zeros(len(batch.samples), output.logits.shape[1]).index_add(
            0, torch.as_tensor(places), output.logits.softmax(dim=-1)
        )
        counts = Counter(places.tolist())
        return [
            Prediction(context.vocabulary.element("labels", row.argmax().item()), candidates=[counts[place]])
            for place, row in enumerate(sums)
        ]

    @classmethod
    def score(cls, metrics, samples, predictions):
        names = sorted({"good", "poor"})
        metrics.update(
            torch.tensor([names.index(prediction.value) for prediction in predictions]),
            torch.tensor([names.index(sample.label) for sample in samples]),
        )


class WindowModel(WindowTask, BaseModule):
    def __init__(self, backbone, vocabulary, optim_conf, num_labels, size=16, notes=None):
        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)
        self.encoder = backbone.build()
        self.head = nn.Linear(self.encoder.config.hidden_size, num_labels)
        self.save_hyperparameters()

    def forward(self, input_ids, attention_mask, labels=None):
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits = self.head(mean_pool(hidden, attention_mask))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ClassificationOutput(logits=logits, loss=loss)


class NoModel:
    pass
'''
ROWS = [
    ("very fine work that all of us like", "good"),
    ("dull", "poor"),
    ("slow and dull", "poor"),
    ("fine", "good"),
    ("all of this was slow dull work that none of us like at all", "poor"),
    ("we like it", "good"),
    ("none of it was fine", "poor"),
]


@pytest.fixture
def windows(tmp_path: Path, opened: Callable[[Path], Path]) -> Path:
    """Write the project and enter it; return its folder."""
    folder = tmp_path / "project"
    for path, text in {
        "windows/__init__.py": "",
        "windows/model.py": MODULE,
        "data/train.tsv": tsv(ROWS * 4),
        "data/validation.tsv": tsv(ROWS),
        "data/test.tsv": tsv(ROWS),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return opened(folder)


def tsv(rows: list[tuple[str, str]]) -> str:
    return "".join(f"{text}\t{label}\n" for text, label in rows)


@pytest.fixture
def config(windows: Path) -> Callable[..., object]:
    """Return the project's config, with changes by dotted key."""
    from omegaconf import OmegaConf

    def make(**changes: object) -> object:
        found = OmegaConf.create(
            {
                "seed": 13,
                "data": {"path": "data", "batch_size": 3, "max_tokens": None},
                "task": {},
                "model": {
                    "_target_": "windows.model.WindowModel",
                    "num_labels": "${fact:num_labels}",
                    "optim_conf": {"_target_": "torch.optim.AdamW", "lr": 2.0e-3},
                },
            }
        )
        for key, value in changes.items():
            OmegaConf.update(found, key.replace("__", "."), value, force_add=True)
        return found

    return make


@pytest.fixture
def made(config: Callable[..., object]) -> Callable[..., tuple[object, object]]:
    """Return the project's model, untrained, and its data."""
    import torch

    from scaffold.runtime import Backbone, DataModule, build, model_class

    def make(**changes: object) -> tuple[object, object]:
        settings = config(**changes)
        backbone = Backbone("scratch", hidden_size=16, heads=2, vocabulary_size=300)
        data = DataModule(model_class(settings), settings, backbone)
        torch.manual_seed(13)
        return build(settings, data.context, backbone), data

    return make

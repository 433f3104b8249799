"""The sound models that the examples of the rules change one thing of."""

from __future__ import annotations

CLASSIFIER = '''\
"""A text classifier: the mean of the embeddings, and a linear head."""

from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=3):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask.unsqueeze(-1)
        hidden = self.dropout(self.embedding(input_ids))
        pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        logits = self.head(pooled)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return {"logits": logits, "loss": loss}
'''

TAGGER = '''\
"""A tagger: a label for each token."""

from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=3):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.head(self.embedding(input_ids))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        return {"logits": logits, "loss": loss}
'''

LANGUAGE_MODEL = '''\
"""A language model: each token is predicted from those before it, by their running mean."""

import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def __init__(self, vocabulary_size=50, hidden_size=32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.mix = nn.Linear(2 * hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, vocabulary_size)

    def forward(self, input_ids, attention_mask, labels=None):
        hidden = self.embedding(input_ids)
        count = torch.arange(1, hidden.size(1) + 1, device=hidden.device).unsqueeze(-1)
        before = hidden.cumsum(dim=1) / count
        logits = self.head(torch.tanh(self.mix(torch.cat([hidden, before], dim=-1))))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        return {"logits": logits, "loss": loss}
'''

LIGHTNING = '''\
"""A text classifier with its own training steps."""

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F
from torchmetrics.classification import MulticlassAccuracy


class Model(pl.LightningModule):
    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=3):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)
        self.val_accuracy = MulticlassAccuracy(num_labels)
        self.test_accuracy = MulticlassAccuracy(num_labels)

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask.unsqueeze(-1)
        pooled = (self.embedding(input_ids) * mask).sum(dim=1) / mask.sum(dim=1)
        logits = self.head(F.gelu(self.dense(pooled)))
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return {"logits": logits, "loss": loss}

    def training_step(self, batch, batch_idx):
        return self(**batch)["loss"]

    def validation_step(self, batch, batch_idx):
        self.val_accuracy(self(**batch)["logits"], batch["labels"])
        self.log("val/accuracy", self.val_accuracy)

    def test_step(self, batch, batch_idx):
        self.test_accuracy(self(**batch)["logits"], batch["labels"])
        self.log("test/accuracy", self.test_accuracy)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-3)
'''

PROJECT_MODEL = '''\
"""The model of a project, with its own predictions."""

from collections.abc import Iterator, Mapping
from typing import Any

from scaffold.runtime import AttentionMaxPool, Backbone, BaseModule, ClassificationOutput, Vocabulary
from torch import Tensor, nn

from mymodel.task import SequenceSample, SequenceTask


class Mymodel(SequenceTask, BaseModule):
    """An encoder, attention and maximum over its tokens, and a linear head."""

    def __init__(
        self,
        backbone: Backbone,
        vocabulary: Vocabulary,
        optim_conf: Mapping[str, Any],
        num_labels: int,
        dropout: float = 0.3,
    ) -> None:
        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)
        self.encoder = backbone.build()
        self.pool = AttentionMaxPool(self.encoder.config.hidden_size)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.pool.output_size, num_labels))

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> ClassificationOutput:
        """Score every label for every text."""
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.classify(self.head(self.pool(hidden, attention_mask)), labels)

    def batch_predict(self, **batch: Any) -> Iterator[tuple[SequenceSample, str]]:
        """Yield each sample with its label."""
        samples = batch.pop("samples")
        for sample, index in zip(samples, self(**batch).logits.argmax(dim=-1).tolist(), strict=True):
            label = self.vocabulary.element("labels", index)
            yield sample, label
'''


def changed(source: str, *edits: tuple[str, str]) -> str:
    """Return a source with each of some edits made at the one place where it fits."""
    for old, new in edits:
        assert source.count(old) == 1, f"{old!r} stands {source.count(old)} times"
        source = source.replace(old, new)
    return source

"""What is kept of learning a few rows by heart."""

from __future__ import annotations

import torch
from torch import nn

from scaffold.check.probe_open import probe_model


class Words(nn.Module):
    """A label for a text, by the mean of its words."""

    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(50, 32), nn.Linear(32, 3)

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask.unsqueeze(-1)
        logits = self.head((self.words(input_ids) * mask).sum(dim=1) / mask.sum(dim=1))
        return {"logits": logits, "loss": None if labels is None else nn.functional.cross_entropy(logits, labels)}


def test_a_trained_model_that_nothing_asks_for_is_not_kept():
    torch.manual_seed(0)
    learning = probe_model(Words).learning
    assert learning.learnt
    assert learning.model is None

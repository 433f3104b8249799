"""Classifiers of sentence pairs that look odd and are right."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class OneText(nn.Module):
    """Reads both sentences as one text, and takes no token types."""

    def __init__(self, vocabulary_size=60, hidden_size=32, num_labels=3):
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary_size, hidden_size, mode="sum")
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, labels=None, **kwargs):
        summed = self.words(input_ids, per_sample_weights=attention_mask.float())
        logits = self.head(summed / attention_mask.sum(1, keepdim=True))
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}


class Siamese(nn.Module):
    """One encoder for both sentences; u, v, |u - v| as in sentence-BERT."""

    def __init__(self, vocabulary_size=60, hidden_size=32, num_labels=3):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.head = nn.Linear(3 * hidden_size, num_labels)

    def encode(self, input_ids, kept):
        hidden = self.dense(self.words(input_ids)).relu().masked_fill(~kept.unsqueeze(-1), 0.0)
        return hidden.sum(1) / kept.sum(1, keepdim=True).clamp(min=1)

    def forward(self, input_ids, attention_mask, token_type_ids, labels=None):
        real = attention_mask.bool()
        first, second = (self.encode(input_ids, real & (token_type_ids == part)) for part in (0, 1))
        logits = self.head(torch.cat([first, second, (first - second).abs()], dim=-1))
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}

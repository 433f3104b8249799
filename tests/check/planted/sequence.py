"""A text classifier: one layer of attention, a mean over the tokens, a linear head."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Model(nn.Module):
    def __init__(self, vocabulary_size=60, hidden_size=32, num_labels=4, dropout=0.1):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size, padding_idx=0)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, num_labels)

    def attend(self, hidden, mask):
        scores = self.query(hidden) @ self.key(hidden).transpose(1, 2) / hidden.size(-1) ** 0.5
        scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
        weights = torch.softmax(scores, dim=-1)
        return weights @ self.value(hidden)

    def forward(self, input_ids, attention_mask, labels=None):
        mask = attention_mask.bool()
        hidden = self.embedding(input_ids)
        hidden = self.norm(hidden + self.attend(hidden, mask))
        hidden = self.dropout(hidden)
        kept = mask.unsqueeze(-1)
        pooled = (hidden * kept).sum(1) / kept.sum(1)
        logits = self.head(pooled)
        loss = None if labels is None else F.cross_entropy(logits, labels)
        return {"logits": logits, "loss": loss}

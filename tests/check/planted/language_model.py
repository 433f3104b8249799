"""A small causal language model; it shifts the labels itself, as the models of transformers do."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Model(nn.Module):
    def __init__(self, vocabulary_size=60, hidden_size=32, heads=2, max_length=256):
        super().__init__()
        self.heads = heads
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.positions = nn.Embedding(max_length, hidden_size)
        self.project = nn.Linear(hidden_size, 3 * hidden_size)
        self.merge = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(hidden_size, vocabulary_size, bias=False)

    def attend(self, hidden):
        rows, length, size = hidden.shape
        query, key, value = self.project(hidden).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = query @ key.transpose(-1, -2) / (size // self.heads) ** 0.5
        seen = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()
        weights = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1)
        return self.merge((weights @ value).transpose(1, 2).reshape(rows, length, size))

    def forward(self, input_ids, attention_mask=None, labels=None):
        places = torch.arange(input_ids.size(1), device=input_ids.device)
        hidden = self.dropout(self.words(input_ids) + self.positions(places))
        hidden = self.norm(hidden + self.attend(hidden))
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)
        return {"logits": logits, "loss": loss}

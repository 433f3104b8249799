"""A small translator: a masked mean of the source starts a recurrent decoder, which reads the target one step late."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Model(nn.Module):
    def __init__(self, vocabulary_size=60, hidden_size=48, start=1):
        super().__init__()
        self.start = start
        self.source = nn.Embedding(vocabulary_size, hidden_size)
        self.target = nn.Embedding(vocabulary_size, hidden_size)
        self.decoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocabulary_size)

    def encode(self, input_ids, attention_mask):
        kept = attention_mask.unsqueeze(-1)
        return (self.source(input_ids) * kept).sum(1) / kept.sum(1)

    def shifted(self, labels):
        first = torch.full_like(labels[:, :1], self.start)
        return torch.cat([first, labels[:, :-1]], dim=1).clamp(min=0)

    def forward(self, input_ids, attention_mask, labels=None):
        state = self.encode(input_ids, attention_mask)
        given = input_ids[:, :1] * 0 + self.start if labels is None else self.shifted(labels)
        hidden, _ = self.decoder(self.target(given), state.unsqueeze(0).contiguous())
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.transpose(1, 2), labels)
        return {"logits": logits, "loss": loss}

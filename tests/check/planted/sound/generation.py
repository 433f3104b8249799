"""Generators that look odd and are right."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class CrossAttention(nn.Module):
    """Attention from the target to the source, one table of words for both, and smoothed labels."""

    def __init__(self, vocabulary_size=60, hidden_size=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        nn.init.normal_(self.words.weight, std=0.2)
        self.decoder = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.cross = nn.MultiheadAttention(hidden_size, 2, batch_first=True)
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, vocabulary_size, bias=False)
        self.head.weight = self.words.weight

    def forward(self, input_ids, attention_mask, labels=None, decoder_input_ids=None):
        if decoder_input_ids is None:
            given = input_ids[:, :1] if labels is None else labels.clamp(min=0)
            decoder_input_ids = F.pad(given, (1, 0))[:, : given.size(1)]
        source = self.words(input_ids)
        hidden, _ = self.decoder(self.words(decoder_input_ids))
        attended, _ = self.cross(hidden, source, source, key_padding_mask=attention_mask == 0)
        logits = self.head(self.norm(hidden + attended))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits.transpose(1, 2), labels, label_smoothing=0.05)
        return {"logits": logits, "loss": loss}


class CopiesTheSource(nn.Module):
    """Words of the source get a higher score."""

    def __init__(self, vocabulary_size=60, hidden_size=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.decoder = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocabulary_size)
        self.copy = nn.Linear(hidden_size, 1)

    def forward(self, input_ids, attention_mask, labels=None):
        kept = attention_mask.unsqueeze(-1).float()
        summary = (self.words(input_ids) * kept).sum(1, keepdim=True) / kept.sum(1, keepdim=True)
        given = input_ids[:, :1] if labels is None else labels.clamp(min=0)
        hidden, _ = self.decoder(self.words(F.pad(given, (1, 0))[:, :-1]) + summary)
        present = (F.one_hot(input_ids, self.head.out_features) * kept).amax(1, keepdim=True)
        logits = self.head(hidden) + torch.tanh(self.copy(hidden)) * present
        loss = None if labels is None else F.cross_entropy(logits.transpose(1, 2), labels)
        return {"logits": logits, "loss": loss}

"""A classifier of sentence pairs: each sentence is pooled apart, then both are compared."""

import torch
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput


class Model(nn.Module):
    def __init__(self, vocabulary_size=60, hidden_size=24, num_labels=3, heads=4):
        super().__init__()
        self.num_labels = num_labels
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.segments = nn.Embedding(2, hidden_size)
        self.layer = nn.TransformerEncoderLayer(hidden_size, heads, 2 * hidden_size, dropout=0.1, batch_first=True)
        self.head = nn.Sequential(
            nn.Linear(3 * hidden_size, hidden_size), nn.GELU(), nn.Linear(hidden_size, num_labels)
        )
        self.criterion = nn.CrossEntropyLoss()

    def pool(self, hidden, kept):
        kept = kept.unsqueeze(-1).to(hidden.dtype)
        return (hidden * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)

    def forward(self, input_ids, attention_mask, token_type_ids, labels=None):
        padding = attention_mask == 0
        hidden = self.words(input_ids) + self.segments(token_type_ids)
        hidden = self.layer(hidden, src_key_padding_mask=padding)
        first = self.pool(hidden, ~padding & (token_type_ids == 0))
        second = self.pool(hidden, ~padding & (token_type_ids == 1))
        logits = self.head(torch.cat([first, second, first * second], dim=-1))
        loss = self.criterion(logits, labels) if labels is not None else None
        return SequenceClassifierOutput(loss=loss, logits=logits)

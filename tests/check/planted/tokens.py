"""A tagger: two convolutions that see no padding, and a label for each piece."""

import torch.nn.functional as F  # noqa: N812
from torch import nn


class Model(nn.Module):
    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=5):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.near = nn.Conv1d(hidden_size, hidden_size, kernel_size=3, padding=1)
        self.far = nn.Conv1d(hidden_size, hidden_size, kernel_size=3, padding=2, dilation=2)
        self.norm = nn.LayerNorm(hidden_size)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(hidden_size, num_labels)

    def mix(self, layer, hidden, kept):
        return layer((hidden * kept).transpose(1, 2)).transpose(1, 2)

    def forward(self, input_ids, attention_mask, labels=None):
        kept = attention_mask.unsqueeze(-1)
        hidden = self.embedding(input_ids)
        hidden = hidden + F.relu(self.mix(self.near, hidden, kept))
        hidden = self.norm(hidden + F.relu(self.mix(self.far, hidden, kept)))
        logits = self.head(self.dropout(hidden))
        output = {"logits": logits}
        if labels is not None:
            output["loss"] = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        return output

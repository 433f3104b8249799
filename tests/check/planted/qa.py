"""An extractive reader: scores for the first and the last token of the answer."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from transformers.modeling_outputs import QuestionAnsweringModelOutput


class Model(nn.Module):
    def __init__(self, vocabulary_size=60, hidden_size=32, max_length=512):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.positions = nn.Embedding(max_length, hidden_size)
        self.attention = nn.MultiheadAttention(hidden_size, 4, dropout=0.1, batch_first=True)
        self.norm = nn.LayerNorm(hidden_size)
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, input_ids, attention_mask, start_positions=None, end_positions=None):
        padding = attention_mask == 0
        places = torch.arange(input_ids.size(1), device=input_ids.device)
        hidden = self.words(input_ids) + self.positions(places)
        attended, _ = self.attention(hidden, hidden, hidden, key_padding_mask=padding, need_weights=False)
        scores = self.head(self.norm(hidden + attended))
        start, end = scores.masked_fill(padding.unsqueeze(-1), -1e4).unbind(-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (F.cross_entropy(start, start_positions) + F.cross_entropy(end, end_positions)) / 2
        return QuestionAnsweringModelOutput(loss=loss, start_logits=start, end_logits=end)

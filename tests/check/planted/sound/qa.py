"""Extractive readers that look odd and are right."""

import torch.nn.functional as F  # noqa: N812
from torch import nn


class UnmaskedScores(nn.Module):
    """Scores padding as well, as BERT does; an answer outside of the window is clipped and ignored."""

    def __init__(self, vocabulary_size=60, hidden_size=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.recurrent = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 2)

    def forward(self, input_ids, attention_mask, token_type_ids=None, start_positions=None, end_positions=None):
        start, end = self.head(self.recurrent(self.words(input_ids))[0]).unbind(-1)
        output = {"start_logits": start, "end_logits": end}
        if start_positions is not None:
            outside = start.size(1)
            targets = [positions.clamp(0, outside) for positions in (start_positions, end_positions)]
            losses = [F.cross_entropy(*pair, ignore_index=outside) for pair in zip((start, end), targets, strict=True)]
            output["loss"] = sum(losses) / 2
        return output


class EndFromStart(nn.Module):
    """The end's scores read the start's."""

    def __init__(self, vocabulary_size=60, hidden_size=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.start = nn.Linear(hidden_size, 1)
        self.end = nn.Linear(2 * hidden_size, 1)

    def forward(self, input_ids, attention_mask, start_positions=None, end_positions=None):
        hidden = self.words(input_ids)
        start = self.start(hidden).masked_fill(attention_mask.unsqueeze(-1) == 0, -1e4)
        summary = (start.softmax(1) * hidden).sum(1, keepdim=True).expand_as(hidden)
        end = self.end(hidden.mul(summary).relu().repeat(1, 1, 2)).masked_fill(attention_mask.unsqueeze(-1) == 0, -1e4)
        start, end = start.squeeze(-1), end.squeeze(-1)
        loss = None
        if start_positions is not None:
            loss = F.cross_entropy(start, start_positions) + F.cross_entropy(end, end_positions)
        return {"start_logits": start, "end_logits": end, "loss": loss}

"""Causal language models that look odd and are right."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class Base(nn.Module):
    """A recurrent language model."""

    def __init__(self, vocabulary_size=60, hidden_size=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary_size, hidden_size)
        self.mixer = nn.GRU(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, vocabulary_size, bias=False)

    def mix(self, hidden):
        return self.mixer(hidden)[0]

    def forward(self, input_ids, labels=None, **kwargs):
        logits = self.head(self.mix(self.words(input_ids)))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])
        return {"logits": logits, "loss": loss}


class Tied(Base):
    """The head is the table of words."""

    def __init__(self):
        super().__init__()
        nn.init.normal_(self.words.weight, std=0.05)
        self.head.weight = self.words.weight


class CausalConvolution(Base):
    """A convolution that is padded on the left only."""

    def __init__(self):
        super().__init__()
        self.mixer = nn.Conv1d(32, 32, 3)

    def mix(self, hidden):
        return hidden + self.mixer(F.pad(hidden.transpose(1, 2), (2, 0))).transpose(1, 2).relu()


class RunningMean(Base):
    """The mean of what came before."""

    def __init__(self):
        super().__init__()
        self.mixer = nn.Linear(32, 32)

    def mix(self, hidden):
        counts = torch.arange(1, hidden.size(1) + 1, device=hidden.device).unsqueeze(-1)
        return hidden + torch.tanh(self.mixer(hidden.cumsum(1) / counts))


class CachedRotation(Base):
    """Angles are computed for the longest batch so far and kept."""

    def __init__(self):
        super().__init__()
        self.mixer = nn.Linear(32, 96)
        self.register_buffer("angles", torch.empty(0, 16), persistent=False)

    def rotate(self, states):
        length = states.size(1)
        if len(self.angles) < length:
            rates = 1.0 / 100 ** (torch.arange(16, device=states.device) / 16)
            self.angles = torch.outer(torch.arange(2 * length, device=states.device), rates)
        cosine, sine = self.angles[:length].cos(), self.angles[:length].sin()
        left, right = states.chunk(2, dim=-1)
        return torch.cat([left * cosine - right * sine, left * sine + right * cosine], dim=-1)

    def mix(self, hidden):
        query, key, value = self.mixer(hidden).chunk(3, dim=-1)
        query, key = (states.unsqueeze(1) for states in (self.rotate(query), self.rotate(key)))
        attended = F.scaled_dot_product_attention(query, key, value.to(query.dtype).unsqueeze(1), is_causal=True)
        return hidden + attended.squeeze(1)


class PenaltyOnScored(Base):
    """A small penalty on the logits, at the positions that are scored only."""

    def forward(self, input_ids, attention_mask=None, labels=None):
        output = super().forward(input_ids, labels)
        if labels is not None:
            kept = (labels[:, 1:] != -100).float()
            penalty = output["logits"][:, :-1].logsumexp(-1).pow(2) * kept
            output["loss"] = output["loss"] + 1e-4 * penalty.sum() / kept.sum().clamp(min=1)
        return output

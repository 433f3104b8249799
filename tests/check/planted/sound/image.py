"""Image classifiers that look odd and are right."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class GroupNormalised(nn.Module):
    """Groups of channels are normalised, and no batch; the pictures are grey."""

    def __init__(self, num_labels=5):
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 5, stride=2)
        self.norm = nn.GroupNorm(4, 16)
        self.head = nn.Linear(16, num_labels)

    def forward(self, pixel_values, labels=None):
        logits = self.head(self.norm(self.stem(pixel_values)).relu().mean((2, 3)))
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}


class StochasticDepth(nn.Module):
    """In training, the second layer is left out for some rows."""

    def __init__(self, num_labels=4):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.head = nn.Linear(16, num_labels)

    def forward(self, pixel_values, labels=None):
        hidden = self.norm(self.first(pixel_values)).relu()
        kept = torch.ones(len(hidden), 1, 1, 1, device=hidden.device)
        if self.training:
            kept = (torch.rand_like(kept) > 0.2).float() / 0.8
        hidden = hidden + kept * self.second(hidden).relu()
        logits = self.head(hidden.amax((2, 3)))
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}


class Patches(nn.Module):
    """A class token attends to the patches."""

    def __init__(self, num_labels=4, hidden_size=32):
        super().__init__()
        self.cut = nn.Conv2d(3, hidden_size, 8, stride=8)
        self.token = nn.Parameter(torch.zeros(1, 1, hidden_size))
        self.layer = nn.TransformerEncoderLayer(hidden_size, 4, 64, dropout=0.1, batch_first=True, norm_first=True)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, pixel_values, labels=None):
        patches = self.cut(pixel_values).flatten(2).transpose(1, 2)
        hidden = self.layer(torch.cat([self.token.expand(len(patches), -1, -1), patches], dim=1))
        logits = self.head(hidden[:, 0])
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}

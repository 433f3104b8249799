"""Taggers that look odd and are right."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn


class PerPiece(nn.Module):
    """Each piece alone."""

    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=5):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.head(self.embedding(input_ids))
        loss = None if labels is None else F.cross_entropy(logits.transpose(1, 2), labels)
        return {"logits": logits, "loss": loss}


class PerWord(nn.Module):
    """The first piece of each word stands for the word; `word_ids` says which word a piece belongs to."""

    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=5):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, word_ids, labels=None):
        words = int(word_ids.max()) + 1
        member = F.one_hot(word_ids + 1, words + 1)[:, :, 1:].transpose(1, 2).float()
        hidden = member @ self.embedding(input_ids) / member.sum(-1, keepdim=True).clamp(min=1)
        logits = self.head(hidden)
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return {"logits": logits, "loss": loss}


class OnlyActive(nn.Module):
    """Picks the labelled positions first, and averages over them."""

    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=5):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.recurrent = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, num_labels)

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.head(self.recurrent(self.embedding(input_ids))[0])
        if labels is None:
            return {"logits": logits}
        scored = labels != -100
        return {"logits": logits, "loss": F.cross_entropy(logits[scored], labels[scored])}


class SmoothedWithTransitions(nn.Module):
    """Scores of a label depend on the label before, as a linear chain has it."""

    def __init__(self, vocabulary_size=50, hidden_size=32, num_labels=5):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)
        self.transitions = nn.Parameter(torch.eye(num_labels))

    def forward(self, input_ids, attention_mask, labels=None):
        scores = self.head(self.embedding(input_ids))
        before = F.pad(scores, (0, 0, 1, 0))[:, :-1].softmax(-1) @ self.transitions
        logits = scores + before
        loss = None if labels is None else F.cross_entropy(logits.transpose(1, 2), labels)
        return {"logits": logits, "loss": loss}

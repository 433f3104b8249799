"""A text classifier with multiple heads of attention over a recurrent layer, as a Lightning module."""

from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class Model(pl.LightningModule):
    def __init__(self, vocabulary_size: int = 50, hidden_size: int = 16, num_labels: int = 3, lr: float = 1e-2):
        super().__init__()
        self.save_hyperparameters()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.recurrent = nn.GRU(hidden_size, hidden_size, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * hidden_size, 2)
        self.head = nn.Linear(4 * hidden_size, num_labels)
        self.loss = nn.CrossEntropyLoss()

    def states(self, input_ids, attention_mask):
        lengths = attention_mask.sum(1).cpu()
        packed = pack_padded_sequence(self.embedding(input_ids), lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(self.recurrent(packed)[0], batch_first=True, total_length=input_ids.size(1))[0]

    def forward(self, input_ids, attention_mask, labels=None):
        states = self.states(input_ids, attention_mask)
        scores = self.score(states).masked_fill(attention_mask.unsqueeze(-1) == 0, -1e9)
        weights = scores.softmax(dim=1)
        pooled = (weights.transpose(1, 2) @ states).flatten(1)
        logits = self.head(pooled)
        return Output(logits, self.loss(logits, labels) if labels is not None else None)

    def training_step(self, batch, batch_idx):
        loss = self(**batch).loss
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self(**batch).loss)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)

"""A classifier over an encoder of transformers: the first token's state, dropout, a linear head."""

import torch
from torch import nn
from transformers import BertConfig, BertModel
from transformers.modeling_outputs import SequenceClassifierOutput


class Model(nn.Module):
    def __init__(self, num_labels=4, dropout=0.1):
        super().__init__()
        sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
        self.encoder = BertModel(BertConfig(vocab_size=80, **sizes), add_pooling_layer=False)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(24, num_labels)
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, input_ids, attention_mask, token_type_ids=None, labels=None):
        encoded = self.encoder(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        states = encoded.last_hidden_state
        pooled = torch.tanh(states[:, 0])
        logits = self.head(self.dropout(pooled))
        loss = None if labels is None else self.criterion(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)

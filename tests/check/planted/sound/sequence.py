"""Text classifiers that look odd and are right: the checker must leave each of them in peace."""

import copy
import random
from collections import namedtuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint


def masked_mean(hidden, attention_mask):
    kept = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * kept).sum(1) / kept.sum(1)


Named = namedtuple("Named", "logits loss")


class Bag(nn.Module):
    """The mean of the embeddings, and a head: what the others change a part of."""

    def __init__(self, vocabulary_size=60, hidden_size=32, num_labels=4):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.head = nn.Linear(hidden_size, num_labels)

    def pool(self, input_ids, attention_mask):
        return masked_mean(self.embedding(input_ids), attention_mask)

    def score(self, pooled):
        return self.head(pooled)

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels)

    def forward(self, input_ids, attention_mask, labels=None):
        logits = self.score(self.pool(input_ids, attention_mask))
        return {"logits": logits, "loss": None if labels is None else self.loss(logits, labels)}


class SharedLayer(Bag):
    """One layer under two names, applied three times."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(32, 32)
        self.second = self.first

    def score(self, pooled):
        for layer in (self.first, self.second, self.first):
            pooled = pooled + torch.tanh(layer(pooled))
        return self.head(pooled)


class FrozenOnPurpose(Bag):
    """Embeddings that are not trained, and run without gradients."""

    def __init__(self):
        super().__init__()
        self.embedding.requires_grad_(False)
        self.dense = nn.Linear(32, 32)

    def pool(self, input_ids, attention_mask):
        with torch.no_grad():
            pooled = super().pool(input_ids, attention_mask)
        return F.gelu(self.dense(pooled))


class LayerDrop(Bag):
    """In training, each layer is left out now and then."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(3))

    def score(self, pooled):
        for layer in self.layers:
            if self.training and torch.rand(()) < 0.4:
                continue
            pooled = pooled + torch.relu(layer(pooled))
        return self.head(pooled)


class MultiSampleDropout(Bag):
    """The mean of several dropouts."""

    def __init__(self):
        super().__init__()
        self.dropouts = nn.ModuleList(nn.Dropout(0.2) for _ in range(4))

    def score(self, pooled):
        return torch.stack([self.head(dropout(pooled)) for dropout in self.dropouts]).mean(0)


class FunctionalDropout(Bag):
    """Functional dropout that knows whether the model trains."""

    def score(self, pooled):
        return self.head(F.dropout(pooled, 0.2, training=self.training))


class Experts(Bag):
    """Each row goes to one of two experts, so that a batch may leave one of them without work."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(32, 2)
        self.experts = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))

    def score(self, pooled):
        weights = self.router(pooled).softmax(-1)
        chosen = weights.argmax(-1)
        mixed = torch.zeros_like(pooled)
        for index, expert in enumerate(self.experts):
            rows = chosen == index
            if rows.any():
                mixed[rows] = (expert(pooled[rows]) * weights[rows, index, None]).to(mixed.dtype)
        return self.head(pooled + mixed)


class ByFirstToken(Bag):
    """Which of two heads scores a row depends on its first token."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(32, 4)

    def forward(self, input_ids, attention_mask, labels=None):
        pooled = self.pool(input_ids, attention_mask)
        logits = torch.where(input_ids[:, :1] % 2 == 0, self.head(pooled), self.other(pooled))
        return {"logits": logits, "loss": None if labels is None else self.loss(logits, labels)}


class WeightNorm(Bag):
    """A weight in two parts."""

    def __init__(self):
        super().__init__()
        self.dense = parametrizations.weight_norm(nn.Linear(32, 32))

    def score(self, pooled):
        return self.head(torch.tanh(self.dense(pooled)))


class SpectralNorm(Bag):
    """In training, each forward improves an estimate that is kept in buffers."""

    def __init__(self):
        super().__init__()
        self.dense = parametrizations.spectral_norm(nn.Linear(32, 32))

    def score(self, pooled):
        return self.head(pooled + torch.tanh(self.dense(pooled)))


class IgnoresTokenTypes(Bag):
    """Takes what a tokenizer gives and has no use for all of it."""

    def forward(self, input_ids, attention_mask, token_type_ids=None, labels=None, **kwargs):
        return super().forward(input_ids, attention_mask, labels)


class LabelSmoothing(Bag):
    """The loss of a perfect answer is not zero."""

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels, label_smoothing=0.1)


class AuxiliaryLoss(Bag):
    """A second loss beside the first."""

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels) + 1e-3 * logits.logsumexp(-1).pow(2).mean()


class ClassWeights(Bag):
    """Rare labels count for more; the weights are a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("weights", torch.tensor([1.0, 2.0, 0.5, 1.5]))

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels, weight=self.weights)


class FocalLoss(Bag):
    """Rows that are right already count for less, so that the loss does not start at ln C."""

    def loss(self, logits, labels):
        chosen = logits.log_softmax(-1).gather(1, labels.unsqueeze(1)).squeeze(1)
        return -((1 - chosen.exp()) ** 2 * chosen).mean()


class MaskedMaximum(Bag):
    """A convolution that padding does not reach, and the maximum over the tokens."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(32, 32, 3, padding=1)

    def pool(self, input_ids, attention_mask):
        kept = attention_mask.unsqueeze(-1).bool()
        hidden = self.embedding(input_ids) * kept
        hidden = self.convolution(hidden.transpose(1, 2)).transpose(1, 2).relu()
        return hidden.masked_fill(~kept, torch.finfo(hidden.dtype).min).max(dim=1).values


class CancellingBias(Bag):
    """Scores whose bias softmax takes away: its gradient is nothing but rounding."""

    def __init__(self):
        super().__init__()
        self.attention = nn.Linear(32, 1)

    def pool(self, input_ids, attention_mask):
        hidden = self.embedding(input_ids)
        scores = self.attention(hidden).masked_fill(attention_mask.unsqueeze(-1) == 0, -1e4)
        return (scores.softmax(dim=1) * hidden).sum(dim=1)


class LastToken(Bag):
    """A recurrent layer, read at the last token that is none of padding."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.GRU(32, 32, batch_first=True)

    def pool(self, input_ids, attention_mask):
        states, _ = self.recurrent(self.embedding(input_ids))
        last = attention_mask.sum(1) - 1
        return states[torch.arange(len(states), device=states.device), last]


class ReZero(Bag):
    """A residual that starts at zero, so that its layer has no gradient in the first step."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 32)
        self.rate = nn.Parameter(torch.zeros(()))

    def score(self, pooled):
        return self.head(pooled + self.rate * torch.tanh(self.dense(pooled)))


class LowRank(Bag):
    """A frozen layer with a trained low-rank change, one half of which starts at zero."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 32).requires_grad_(False)
        self.down = nn.Parameter(torch.randn(32, 4) / 6)
        self.up = nn.Parameter(torch.zeros(4, 32))

    def score(self, pooled):
        return self.head(torch.tanh(self.dense(pooled) + pooled @ self.down @ self.up))


class ZeroHead(Bag):
    """A head that starts at zero, so that nothing below it has a gradient in the first step."""

    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


class Checkpointed(Bag):
    """A layer that is run again in the backward pass, to save memory."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Dropout(0.1), nn.Linear(64, 32))

    def score(self, pooled):
        return self.head(pooled + checkpoint(self.layer, pooled, use_reentrant=False))


class StraightThrough(Bag):
    """A hard choice whose gradient is the soft one's."""

    def __init__(self):
        super().__init__()
        self.topic = nn.Linear(32, 6)
        self.topics = nn.Linear(6, 32, bias=False)

    def score(self, pooled):
        soft = self.topic(pooled).softmax(-1)
        hard = F.one_hot(soft.argmax(-1), 6).to(soft.dtype)
        return self.head(pooled + self.topics(hard + soft - soft.detach()))


class LogProbabilities(Bag):
    """Logits that are logarithms of probabilities; cross-entropy leaves them as they are."""

    def score(self, pooled):
        return self.head(pooled).log_softmax(-1)


class CountsBatches(Bag):
    """A buffer counts the batches of training, and changes nothing."""

    def __init__(self):
        super().__init__()
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def score(self, pooled):
        if self.training:
            self.batches += 1
        return self.head(pooled)


class ScalarMix(Bag):
    """A learnt mean of the layers, as ELMo has it."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(2))
        self.weights = nn.ParameterList(nn.Parameter(torch.zeros(1)) for _ in range(3))
        self.scale = nn.Parameter(torch.ones(1))

    def score(self, pooled):
        states = [pooled]
        for layer in self.layers:
            states.append(torch.tanh(layer(states[-1])))
        mixed = zip(torch.cat(list(self.weights)).softmax(0), states, strict=True)
        return self.head(self.scale * sum(weight * state for weight, state in mixed))


class Teacher(Bag):
    """A frozen copy gives targets for a second loss."""

    def __init__(self):
        super().__init__()
        self.teacher = copy.deepcopy(self.head).requires_grad_(False)
        self.teaching = 0.1

    def forward(self, input_ids, attention_mask, labels=None):
        pooled = self.pool(input_ids, attention_mask)
        logits = self.head(pooled)
        if labels is None:
            return {"logits": logits}
        with torch.no_grad():
            targets = self.teacher(pooled).softmax(-1)
        loss = F.cross_entropy(logits, labels) + self.teaching * F.cross_entropy(logits, targets)
        return {"logits": logits, "loss": loss}


class LazyHead(Bag):
    """A head that learns its width from the first batch."""

    def __init__(self):
        super().__init__()
        self.head = nn.LazyLinear(4)


class MoreOutputs(Bag):
    """Gives more than it must: predictions, and the pooled vectors."""

    def forward(self, **batch):
        labels = batch.pop("labels", None)
        pooled = self.pool(batch["input_ids"], batch["attention_mask"])
        logits = self.head(pooled)
        output = {"logits": logits, "predictions": logits.argmax(-1), "pooled": pooled.detach()}
        if labels is not None:
            output |= {"loss": self.loss(logits, labels), "accuracy": (output["predictions"] == labels).float().mean()}
        return output


class ChangesACopy(Bag):
    """Changes in place what nobody else holds."""

    def pool(self, input_ids, attention_mask):
        tokens = input_ids.clone()
        tokens[attention_mask == 0] = 0
        hidden = self.embedding(tokens)
        hidden += 1.0
        hidden *= attention_mask.unsqueeze(-1)
        return hidden.sum(1) / attention_mask.sum(1, keepdim=True)


class WordDropout(Bag):
    """Tokens are left out at random, in training only, and never all of them."""

    def pool(self, input_ids, attention_mask):
        if self.training:
            kept = torch.rand(attention_mask.shape, device=attention_mask.device) > 0.1
            kept[:, 0] = True
            attention_mask = attention_mask * kept
        return super().pool(input_ids, attention_mask)


class SparseEmbedding(Bag):
    """Gradients of the embedding name only the rows that were read."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60, 32, sparse=True)


class CosineHead(Bag):
    """Compares directions, with a learnt scale."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def score(self, pooled):
        return self.scale * F.linear(F.normalize(pooled, dim=-1), F.normalize(self.head.weight, dim=-1), self.head.bias)


class NumpyNoise(Bag):
    """Noise in training that comes from numpy and Python, which a seed for everything reaches."""

    def score(self, pooled):
        if self.training:
            pooled = pooled * float(np.random.uniform(0.95, 1.05)) + random.uniform(-0.05, 0.05)
        return self.head(pooled)


class KeepsItsWeights(Bag):
    """Keeps what it saw last, for a picture."""

    def __init__(self):
        super().__init__()
        self.attention = nn.Linear(32, 1)
        self.seen = None

    def pool(self, input_ids, attention_mask):
        hidden = self.embedding(input_ids)
        scores = self.attention(hidden).masked_fill(attention_mask.unsqueeze(-1) == 0, -1e4)
        self.seen = scores.softmax(dim=1)
        return (self.seen * hidden).sum(dim=1)


class BalancedExperts(Bag):
    """Two experts, and a loss that looks at the whole batch so that both get work."""

    def __init__(self):
        super().__init__()
        self.router = nn.Linear(32, 2)
        self.experts = nn.ModuleList(nn.Linear(32, 4) for _ in range(2))

    def forward(self, input_ids, attention_mask, labels=None):
        pooled = self.pool(input_ids, attention_mask)
        weights = self.router(pooled).softmax(-1)
        logits = self.head(pooled)
        logits = logits + sum(weights[:, i, None] * expert(pooled) for i, expert in enumerate(self.experts))
        if labels is None:
            return {"logits": logits}
        return {"logits": logits, "loss": self.loss(logits, labels) + 0.01 * weights.mean(0).pow(2).sum()}


class OwnGenerator(Bag):
    """Draws its first weights from a generator with a seed of its own."""

    def __init__(self):
        super().__init__()
        nn.init.normal_(self.head.weight, std=0.1, generator=torch.Generator().manual_seed(7))


class NamedOutput(Bag):
    """Gives a named tuple."""

    def forward(self, input_ids, attention_mask, labels=None):
        return Named(**{"loss": None} | super().forward(input_ids, attention_mask, labels))


class StackedLSTM(Bag):
    """Two recurrent layers with dropout between them, over packed rows."""

    def __init__(self):
        super().__init__()
        self.recurrent = nn.LSTM(32, 16, num_layers=2, dropout=0.2, bidirectional=True, batch_first=True)

    def pool(self, input_ids, attention_mask):
        lengths = attention_mask.sum(1).cpu()
        packed = pack_padded_sequence(self.embedding(input_ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.recurrent(packed)
        return torch.cat([last[-2], last[-1]], dim=-1)


class HardRowsOnly(Bag):
    """Learns from the rows with the largest losses."""

    def loss(self, logits, labels):
        losses = F.cross_entropy(logits, labels, reduction="none")
        return losses.topk(max(1, len(losses) // 2)).values.mean()


class Ordinal(Bag):
    """Scores the differences between neighbouring labels."""

    def __init__(self):
        super().__init__()
        self.steps = nn.Linear(32, 4)

    def score(self, pooled):
        return self.head(pooled) + self.steps(pooled).cumsum(-1)


class MeanOfRuns(Bag):
    """Runs dropout several times in evaluation too, from a generator that starts anew each time."""

    def score(self, pooled):
        generator = torch.Generator(pooled.device).manual_seed(1)
        masks = torch.rand(5, pooled.size(-1), generator=generator, device=pooled.device) > 0.1
        return torch.stack([self.head(pooled * mask) for mask in masks]).mean(0)


class Mixin:
    """What another class brings along."""

    def amplified(self, pooled):
        return pooled * self.factor


class SetByName(Mixin, Bag):
    """Attributes that are set and read by their names."""

    factor: float

    def __init__(self):
        super().__init__()
        for index in range(2):
            setattr(self, f"layer{index}", nn.Linear(32, 32))
        self.add_module("extra", nn.Linear(32, 32))
        self.register_parameter("shift", nn.Parameter(torch.zeros(32)))
        self.register_buffer("ramp", torch.linspace(0.5, 1.5, 32))
        vars(self)["factor"] = 2.0

    @property
    def first(self):
        return self.layer0

    def score(self, pooled):
        pooled = self.extra(self.amplified(pooled) + self.shift) * self.ramp
        return self.head(torch.tanh(self.first(pooled)) + getattr(self, "layer1")(pooled))  # noqa: B009


class UsedByOthers(Bag):
    """Layers that are reached through their container, a list of all, or a function."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(32, 32)
        self.two = nn.Linear(32, 32)
        self.blocks = nn.ModuleDict({"three": nn.Linear(32, 32)})
        self.embedding.weight.data.normal_(std=0.5)

    def score(self, pooled):
        for name, layer in self.named_children():
            if name in ("one", "two"):
                pooled = pooled + torch.tanh(layer(pooled))
        return self.head(through(self, "three", pooled))


def through(model, name, pooled):
    return torch.tanh(model.blocks[name](pooled))


class ShortcutByFlag(Bag):
    """A layer that a setting leaves out is not made."""

    def __init__(self, deep=False):
        super().__init__()
        self.deep = nn.Linear(32, 32) if deep else None

    def score(self, pooled):
        return self.head(pooled if self.deep is None else self.deep(pooled))


class Cosine(Bag):
    """Cosines with a fixed scale, as cosine classifiers have it."""

    def __init__(self, scale=16.0):
        super().__init__()
        self.head = nn.Linear(32, 4, bias=False)
        self.scale = scale

    def score(self, pooled):
        return self.scale * F.linear(F.normalize(pooled, dim=-1), F.normalize(self.head.weight, dim=-1))


class LearntTemperature(Cosine):
    """Cosines with a scale that is learnt, and that starts at one."""

    def __init__(self):
        super().__init__(scale=nn.Parameter(torch.ones(())))


class MarginCosine(Cosine):
    """The outputs are cosines; the loss scales them."""

    def __init__(self):
        super().__init__(scale=1.0)

    def loss(self, logits, labels):
        return F.cross_entropy(20 * (logits - 0.2 * F.one_hot(labels, 4)), labels)


class SoftCap(Bag):
    """Scores that are kept below 30."""

    def score(self, pooled):
        return 30 * torch.tanh(self.head(pooled) / 30)


class FixedCodes(Bag):
    """Bounded features are compared with fixed codes, which nothing scales."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(32, 32)
        self.register_buffer("codes", torch.randint(0, 2, (4, 32)).float() * 2 - 1)

    def score(self, pooled):
        return torch.tanh(self.head(pooled)) @ self.codes.t()


class DividedByWidth(ZeroHead):
    """A head that starts at zero, and whose scores are divided by the width, as muP does."""

    def score(self, pooled):
        return self.head(pooled) / 8


class SmoothCosine(LearntTemperature):
    """A fifth of every label is given to the others."""

    def loss(self, logits, labels):
        return F.cross_entropy(logits, labels, label_smoothing=0.2)

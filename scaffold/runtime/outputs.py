"""What models return: typed, and a dict for those who need one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class ClassificationOutput(ModelOutput):
    """The scores of labels, for each row or for each of its words.

    logits: (rows, labels) or (rows, words, labels), before softmax. predictions: in the form of the batch's labels, for
    models that choose by more than the highest score, as a CRF does; where they are there, they are what is measured
    and predicted. loss: scalar, there when labels were given. probabilities: read by nobody; models written for classy
    have them.
    """

    logits: Tensor | None = None
    probabilities: Tensor | None = None
    predictions: Tensor | None = None
    loss: Tensor | None = None


@dataclass
class QAOutput(ModelOutput):
    """The scores of every token as the first and as the last of an answer.

    start_logits, end_logits: (features, length) before softmax. loss: scalar, there when positions were given.
    """

    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    loss: Tensor | None = None


@dataclass
class GenerationOutput(ModelOutput):
    """The scores of each next token of the targets, or the targets that were written.

    logits: (rows, target length, vocabulary) before softmax. loss: scalar, there when labels were given.
    sequences: (rows * candidates, length) token ids, the candidates of a row together and best first; from `infer`.
    """

    logits: Tensor | None = None
    loss: Tensor | None = None
    sequences: Tensor | None = None

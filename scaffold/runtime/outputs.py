"""What models return: typed, and a dict for those who need one."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class ClassificationOutput(ModelOutput):
    """The scores of one label per row.

    logits: (rows, labels) before softmax. probabilities: (rows, labels). predictions: (rows,) label indices.
    loss: scalar, there when labels were given. Only logits and loss are read by the runtime.
    """

    logits: Tensor | None = None
    probabilities: Tensor | None = None
    predictions: Tensor | None = None
    loss: Tensor | None = None

"""A model that was loaded without its tokenizer, and reads the ids of another."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from scaffold.runtime.encoders.backbones import Backbone

MORE = 1.5  # rows per piece: tables are filled up for the GPU's sake, that of ByT5 to 384 rows for 259 pieces
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Misfit:
    """How many rows the table of a loaded model has for the pieces of a tokenizer that is not its own.

    part: the model's path inside the whole. name: what it was loaded by.
    """

    part: str
    name: str
    rows: int
    pieces: int

    @property
    def fix(self) -> str:
        """Return how the model gets its own tokenizer."""
        return f"set backbone=pretrained backbone.name={self.name}, so that the tokenizer is that of the model"

    def __str__(self) -> str:
        return (
            f"the table of {self.name} has {self.rows:,} rows, and the tokenizer of the backbone {self.pieces:,} pieces"
        )


def misfit(model: nn.Module, tokenizer: Any, backbone: Backbone | None) -> Misfit | None:
    """Return the first part that `from_pretrained` loaded whose table cannot be for the tokenizer; None for none."""
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        return None
    own, pieces = backbone.state()["options"].get("name") if backbone else None, len(tokenizer)
    loaded = {path: part for path, part in model.named_modules() if isinstance(part, PreTrainedModel)}
    for path, part in loaded.items():
        name, rows = part.config.name_or_path, _rows(part)
        if name and name != own and rows is not None and not pieces <= rows <= MORE * pieces:
            return Misfit(path, name, rows, pieces)
    return None


def warn_of_misfit(model: Any) -> None:
    """Say before training that a part of the model cannot read the ids of the batch; it may read others."""
    found = misfit(model, model.context.processor, model.recipe.backbone)
    if found is not None:
        log.warning("%s: if it reads the batch's ids, %s", found, found.fix)


def _rows(model: Any) -> int | None:
    """Return how many ids a model can read; None for one that reads pixels or the like."""
    try:
        return getattr(model.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:
        return None

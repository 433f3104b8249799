"""What tasks on texts do alike: rows of token ids become a batch, with targets where these are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from scaffold.runtime.contracts import IGNORED
from scaffold.runtime.features import pad
from scaffold.runtime.task import Context, Features, Stage, Task
from scaffold.runtime.text import pad_inputs


class TextTask(Task):
    """A task whose features hold `input_ids` and, outside prediction, their targets."""

    @classmethod
    def collate(
        cls,
        features: Sequence[Features],
        context: Context,
        stage: Stage,
        rng: np.random.Generator,  # noqa: ARG003 - nothing here is random
    ) -> dict[str, Tensor]:
        """Pad the rows of a batch to one length: exactly what `forward` takes."""
        inputs = pad_inputs(features, context.processor)
        return inputs if stage == "predict" else inputs | cls.batch_targets(features, inputs, context)

    @classmethod
    def batch_targets(
        cls,
        features: Sequence[Features],
        inputs: Mapping[str, Tensor],  # noqa: ARG003
        context: Context,  # noqa: ARG003
    ) -> dict[str, Tensor]:
        """Return the targets of a batch: `labels` (rows, longest), one for each token and -100 behind them."""
        return {"labels": pad([row["labels"] for row in features], IGNORED, torch.long)}

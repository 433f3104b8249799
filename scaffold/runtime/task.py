"""What a task is: from rows to tensors and from tensors back to predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import Contract
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state
from scaffold.runtime.samples import Sample
from scaffold.runtime.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import MetricCollection

Stage = Literal["train", "validation", "test", "predict"]
Features = dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """One row's prediction: its value, how sure the model is (0 to 1), and further candidates, best first."""

    value: Any
    score: float | None = None
    candidates: list[Any] | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the fields that are there, as they are written to a file of predictions."""
        return {"prediction": self.value} | {
            name: value for name, value in (("score", self.score), ("candidates", self.candidates)) if value is not None
        }


@dataclass(frozen=True)
class Context:
    """What a task knows of its data: options, vocabulary, processor (a tokenizer or normaliser) and plain facts.

    A processor that is no tokenizer is a dataclass of plain data, which the task names as its `processor_type`.
    """

    options: Any
    vocabulary: Vocabulary
    processor: Any = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Return the context as plain data, for a checkpoint."""
        return {
            "options": asdict(self.options),
            "vocabulary": self.vocabulary.as_dict(),
            "processor": _processor_state(self.processor),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any], options_type: type, processor_type: type | None = None) -> Context:
        """Make a context from what `state` returned."""
        return cls(
            options=options_type(**state["options"]),
            vocabulary=Vocabulary.from_dict(state["vocabulary"]),
            processor=_processor(state["processor"], processor_type),
            facts=dict(state["facts"]),
        )


def _processor_state(processor: Any) -> dict[str, Any] | None:
    if is_dataclass(processor) and not isinstance(processor, type):
        return asdict(processor)
    return None if processor is None else processor_state(processor)


def _processor(state: Mapping[str, Any] | None, processor_type: type | None) -> Any:
    if state is None:
        return None
    return processor_type(**state) if processor_type else processor_from_state(state)


class Task(ABC):
    """The hooks of a task, all class methods: data, model, prediction and tests use the same ones.

    They get a frozen `Context` and keep no state, so that an override in a model class counts everywhere.
    """

    contract: ClassVar[Contract]
    sample_type: ClassVar[type[Sample]]
    options_type: ClassVar[type]
    processor_type: ClassVar[type | None] = None  # the dataclass of a processor that is no tokenizer
    decode_features: ClassVar[tuple[str, ...]] = ()  # entries of the features that `decode` finds in batch.features

    @classmethod
    def texts(cls, sample: Sample) -> Iterable[str]:  # noqa: ARG003
        """Return the texts of a sample, from which a tokenizer is trained; none where a row is no text."""
        return ()

    @classmethod
    def strata(cls, samples: Iterable[Sample], options: Any) -> Iterable[object] | None:  # noqa: ARG003
        """Return the label of each row, of which splits without a file get their share; None where rows have none."""
        return None

    @classmethod
    @abstractmethod
    def fit(cls, samples: Iterable[Sample], options: Any, processor: Any, vocabulary: Vocabulary | None) -> Context:
        """Return what must be known of the training rows; a given vocabulary is used as it is.

        A row that cannot be read is passed over: `encode` raises its BadRow, where file and line are known.
        """

    @classmethod
    @abstractmethod
    def encode(cls, sample: Sample, context: Context, stage: Stage) -> list[Features]:
        """Turn a row into features: one, or one for each window; none leaves the row out of training.

        Deterministic. `truncated` among the features says that something was cut. Raises BadRow.
        """

    @classmethod
    @abstractmethod
    def collate(
        cls, features: Sequence[Features], context: Context, stage: Stage, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Turn features into the tensors of a batch; all randomness is here and comes from `rng`."""

    @classmethod
    def length(cls, features: Features) -> int:
        """Return the length by which features are batched: rows of like length share a batch."""
        return len(features["input_ids"]) if "input_ids" in features else 1

    @classmethod
    @abstractmethod
    def num_items(cls, batch: Batch) -> int | Tensor:
        """Count what the loss of a batch is an average of; it weights every logged loss."""

    @classmethod
    @abstractmethod
    def build_metrics(cls, context: Context) -> MetricCollection:
        """Return the metrics of validation and test."""

    @classmethod
    @abstractmethod
    def update_metrics(cls, metrics: MetricCollection, output: Any, batch: Batch, context: Context) -> None:
        """Add one labelled batch to the metrics."""

    @classmethod
    @abstractmethod
    def decode(cls, output: Any, batch: Batch, context: Context) -> list[Prediction]:
        """Return one prediction per row."""

    @classmethod
    def as_row(cls, sample: Sample, context: Context) -> dict[str, Any]:  # noqa: ARG003
        """Return the fields of a sample as they are written beside its prediction; as they were read by default."""
        return sample.as_row()

    @classmethod
    def monitor(cls, context: Context) -> tuple[str, str]:  # noqa: ARG003
        """Name the metric that picks the best checkpoint, and whether more (max) or less (min) of it is better."""
        return "val/loss", "min"

    @classmethod
    def tally(cls, output: Any, batch: Batch, context: Context) -> dict[str, Tensor]:  # noqa: ARG003
        """Count cheap sums over the items of a training batch, such as hits; they are logged divided by the items."""
        return {}

    @classmethod
    def to_score(cls, batch: Batch, context: Context, stage: Stage) -> Batch:  # noqa: ARG003
        """Return the part of a labelled batch that is decoded for `score`; all of it by default."""
        return batch

    @classmethod
    def score(cls, metrics: MetricCollection, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Add decoded rows to metrics that need them (BLEU, spans); nothing by default."""


def uses_score(task: type) -> bool:
    """Return whether a task scores decoded rows, so that the others need not decode in validation."""
    return getattr(task, "score", None).__func__ is not Task.score.__func__  # type: ignore[union-attr,attr-defined]

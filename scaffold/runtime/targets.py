"""What a row is labelled with: one name, several names, or a number; each with its loss, metrics and decoding."""

from __future__ import annotations

import logging
import math
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torchmetrics import MetricCollection

from scaffold.errors import DataError, listed, shown
from scaffold.runtime.samples import BadRow, Sample
from scaffold.runtime.task import Prediction

if TYPE_CHECKING:
    from scaffold.runtime.vocabulary import Vocabulary

log = logging.getLogger(__name__)

SEPARATOR = "|"
MOSTLY = 0.9


class Target(ABC):
    """A kind of label: how it is read, learnt, measured and given back."""

    monitor: ClassVar[tuple[str, str]]

    @abstractmethod
    def names(self, label: Any) -> list[str]:
        """Return the names in a label, which the vocabulary collects."""

    @abstractmethod
    def encode(self, label: Any, vocabulary: Vocabulary) -> Any:
        """Return a label as numbers; raises BadRow."""

    @abstractmethod
    def stack(self, labels: Sequence[Any]) -> Tensor:
        """Return the labels of a batch as one tensor."""

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss over rows: (rows, labels) against what `stack` returned."""

    @abstractmethod
    def hits(self, logits: Tensor, labels: Tensor, chosen: Tensor | None = None) -> dict[str, Tensor]:
        """Return cheap sums over the rows of a training batch; chosen: as in `predictions`."""

    @abstractmethod
    def metrics(self, num_labels: int) -> MetricCollection:
        """Return the metrics of validation and test, each counting for itself.

        In groups, torchmetrics takes metrics for one whose counts of the first batch agree, if only by chance.
        """

    @abstractmethod
    def predictions(self, logits: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return what the metrics compare with the labels; chosen: what the model itself predicts, like the labels."""

    @abstractmethod
    def decode(self, logits: Tensor, vocabulary: Vocabulary, chosen: Tensor | None = None) -> list[Prediction]:
        """Return one prediction per row; chosen: as in `predictions`."""

    def written(self, label: Any) -> Any:
        """Return a row's own label as it is written beside the prediction: as it was read."""
        return label

    def collect(self, labels: Iterable[Any], fix: str = Sample.label_help) -> Mapping[str, int]:
        """Count the names in the training labels, and warn of those that one row has.

        Errors: DataError, with `fix`, when there is nothing to learn.
        """
        counts: Counter[str] = Counter()
        refused = ""
        for label in labels:
            try:
                counts.update(self.names(label))
            except BadRow as problem:  # `encode` reports it, whose caller knows the row's file and line
                refused = refused or str(problem)
        rare = [name for name, count in counts.items() if count == 1]
        if rare and len(rare) < len(counts):
            log.warning("%d of %d labels have one row only: %s", len(rare), len(counts), listed(map(shown, rare)))
        return learnable(counts, refused, fix=fix)


class SingleLabel(Target):
    """One name per row."""

    monitor = ("val/accuracy", "max")

    def names(self, label: Any) -> list[str]:
        """Return the one name."""
        return [_name(label)]

    def collect(self, labels: Iterable[Any], fix: str = Sample.label_help) -> Mapping[str, int]:
        """Count the names in the training labels, and say where they look like numbers to learn."""
        counts = super().collect(labels, fix)
        fractions = [name for name in counts if is_number(name) and not name.lstrip("+-").isdecimal()]
        if fractions and sum(map(is_number, counts)) >= MOSTLY * len(counts):
            message = "%d labels are learnt as names, and look like numbers (%s): to learn numbers set %s"
            log.warning(message, len(counts), listed(map(shown, fractions), 3), "task.target=regression")
        return counts

    def encode(self, label: Any, vocabulary: Vocabulary) -> int:
        """Return the label's index."""
        name = _name(label)
        if is_number(name) and name not in vocabulary.elements("labels"):
            _refuse_numbers(name, vocabulary.elements("labels"))
        return vocabulary.index("labels", name)

    def stack(self, labels: Sequence[Any]) -> Tensor:
        """Return (rows,) indices."""
        return torch.tensor([int(label) for label in labels])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy."""
        return F.cross_entropy(logits, labels)

    def hits(self, logits: Tensor, labels: Tensor, chosen: Tensor | None = None) -> dict[str, Tensor]:
        """Count the rows whose best label is right."""
        return {"accuracy": (self.predictions(logits.detach(), chosen) == labels).sum()}

    def metrics(self, num_labels: int) -> MetricCollection:
        """Accuracy, and F1 averaged over labels."""
        from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

        return MetricCollection(
            {
                "accuracy": MulticlassAccuracy(num_labels, average="micro"),
                "f1": MulticlassF1Score(num_labels, average="macro"),
            },
            compute_groups=False,
        )

    def predictions(self, logits: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return (rows,) indices of the best labels."""
        return logits.argmax(dim=-1) if chosen is None else chosen

    def decode(self, logits: Tensor, vocabulary: Vocabulary, chosen: Tensor | None = None) -> list[Prediction]:
        """Return the best label and its probability."""
        indices = self.predictions(logits, chosen)
        scores = torch.softmax(logits.float(), dim=-1).gather(-1, indices.unsqueeze(-1)).squeeze(-1)
        return [
            Prediction(vocabulary.element("labels", index), score)
            for index, score in zip(indices.tolist(), scores.tolist(), strict=True)
        ]


class MultiLabel(Target):
    """Any number of names per row: a list, or a text that joins them with `|`."""

    monitor = ("val/f1", "max")

    def names(self, label: Any) -> list[str]:
        """Return all names of a row."""
        if isinstance(label, str):
            return [name for name in label.split(SEPARATOR) if name]
        if isinstance(label, list):
            return [_name(name) for name in label]
        raise BadRow(f"expected labels as a list or joined by '{SEPARATOR}', got {shown(label)}")

    def encode(self, label: Any, vocabulary: Vocabulary) -> list[float]:
        """Return a 1.0 for each label that is there, else 0.0."""
        chosen = {vocabulary.index("labels", name) for name in self.names(label)}
        return [float(index in chosen) for index in range(vocabulary.size("labels"))]

    def stack(self, labels: Sequence[Any]) -> Tensor:
        """Return (rows, labels) ones and zeros."""
        return torch.stack([torch.as_tensor(label, dtype=torch.float32) for label in labels])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Binary cross-entropy, averaged over rows and labels."""
        return F.binary_cross_entropy_with_logits(logits, labels)

    def hits(self, logits: Tensor, labels: Tensor, chosen: Tensor | None = None) -> dict[str, Tensor]:
        """Count the rows whose labels are all right."""
        found = logits.detach() if chosen is None else chosen
        return {"exact_match": ((found > 0) == (labels > 0)).all(dim=-1).sum()}

    def metrics(self, num_labels: int) -> MetricCollection:
        """Exact match of a row's labels, and F1 averaged over labels."""
        from torchmetrics.classification import MultilabelExactMatch, MultilabelF1Score

        return MetricCollection(
            {
                "exact_match": MultilabelExactMatch(num_labels),
                "f1": MultilabelF1Score(num_labels, average="macro"),
            },
            compute_groups=False,
        )

    def predictions(self, logits: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return (rows, labels) probabilities, or the ones and zeros that the model chose."""
        return torch.sigmoid(logits.float()) if chosen is None else chosen.float()

    def decode(self, logits: Tensor, vocabulary: Vocabulary, chosen: Tensor | None = None) -> list[Prediction]:
        """Return the labels that are more likely than not."""
        probabilities = self.predictions(logits, chosen)
        return [
            Prediction([vocabulary.element("labels", index) for index, value in enumerate(row) if value > 0.5])
            for row in probabilities.tolist()
        ]


class Score(Target):
    """One number per row."""

    monitor = ("val/loss", "min")

    def names(self, label: Any) -> list[str]:  # noqa: ARG002
        """Return nothing: a number has no name."""
        return []

    def collect(self, labels: Iterable[Any], fix: str = "") -> Mapping[str, int]:  # noqa: ARG002
        """Return nothing: there is no vocabulary of numbers."""
        return {}

    def encode(self, label: Any, vocabulary: Vocabulary) -> float:  # noqa: ARG002
        """Return the number."""
        try:
            value = float(label)
        except (TypeError, ValueError):
            raise BadRow(f"expected a number as label (task.target is regression), got {shown(label)}") from None
        if value - value != 0:  # only infinities and NaN differ from themselves by something else
            raise BadRow(f"expected a finite number as label, got {shown(label)}")
        return value

    def written(self, label: Any) -> Any:
        """Return the number, as the prediction is one; what is none stays: a row to predict may have any label."""
        return float(label) if isinstance(label, str) and is_number(label) else label

    def stack(self, labels: Sequence[Any]) -> Tensor:
        """Return (rows,) numbers."""
        return torch.tensor([float(label) for label in labels])

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error."""
        return F.mse_loss(logits.squeeze(-1), labels)

    def hits(self, logits: Tensor, labels: Tensor, chosen: Tensor | None = None) -> dict[str, Tensor]:  # noqa: ARG002
        """Return nothing: the loss says it all."""
        return {}

    def metrics(self, num_labels: int) -> MetricCollection:  # noqa: ARG002
        """Mean absolute error, and Pearson's and Spearman's correlation."""
        from torchmetrics.regression import MeanAbsoluteError, PearsonCorrCoef, SpearmanCorrCoef

        # of rows that are all alike: the figure is nan, which says it
        warnings.filterwarnings("ignore", message="The variance of predictions or target is close to zero")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that Spearman's keeps its numbers: two for each row
            return MetricCollection(
                {"mae": MeanAbsoluteError(), "pearson": PearsonCorrCoef(), "spearman": SpearmanCorrCoef()},
                compute_groups=False,
            )

    def predictions(self, logits: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Return (rows,) numbers."""
        return (logits.squeeze(-1) if chosen is None else chosen).float()

    def decode(
        self,
        logits: Tensor,
        vocabulary: Vocabulary,  # noqa: ARG002
        chosen: Tensor | None = None,
    ) -> list[Prediction]:
        """Return the number."""
        return [Prediction(round(value, 6)) for value in self.predictions(logits, chosen).tolist()]


TARGETS: dict[str, Target] = {"single": SingleLabel(), "multi": MultiLabel(), "regression": Score()}


def learnable(
    counts: Mapping[str, int], refused: str = "", fix: str = "check data.columns, and the labels"
) -> Mapping[str, int]:
    """Return the counts of the labels in the training rows, and warn of names that are probably one.

    refused: what is wrong with the first label that could not be counted.

    Errors: DataError when there are not two of them.
    """
    _tell_alike(counts)
    if len(counts) < 2:
        raise DataError(
            f"Expected at least two different labels in the training rows, got {len(counts)}",
            because=f"the only label is {shown(next(iter(counts)))}" if counts else refused or "no row has a label",
            fix=fix if counts or refused else f"{fix}; in a TSV file, a tab stands before the label",
            code="data.one-class",
        )
    return counts


def is_number(text: str) -> bool:
    """Return whether a text is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _tell_alike(counts: Mapping[str, int]) -> None:
    alike: dict[str, list[str]] = {}
    for name in counts:
        alike.setdefault(name.strip(" \"'").casefold() or name, []).append(name)
    for names in alike.values():
        if len(names) > 1:
            told = listed(f"{shown(name)} ({counts[name]}×)" for name in names)
            log.warning("labels that differ only in case, blanks or quotes are taken for different ones: %s", told)


def _refuse_numbers(name: str, known: Sequence[str]) -> None:
    """Raise BadRow for a number among labels of which nearly all are numbers."""
    if sum(map(is_number, known)) >= MOSTLY * len(known):
        raise BadRow(
            f"{shown(name)} is not among the {len(known)} labels of training; these look like numbers: "
            "to learn numbers set task.target=regression"
        )


def _name(label: Any) -> str:
    if isinstance(label, bool) or not isinstance(label, str | int):
        raise BadRow(f"expected a label, got {shown(label)}")
    return str(label)

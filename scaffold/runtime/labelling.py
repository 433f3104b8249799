"""What tasks that label whole rows do alike, whatever a row is: one text, two texts, or something of your own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor
from torchmetrics import MetricCollection

from scaffold.runtime import contracts
from scaffold.runtime.batch import Batch
from scaffold.runtime.measuring import update_each
from scaffold.runtime.outputs import ClassificationOutput
from scaffold.runtime.plain.registry import find
from scaffold.runtime.samples import BadRow
from scaffold.runtime.targets import TARGETS, Target
from scaffold.runtime.task import Context, Features, Prediction, Stage
from scaffold.runtime.text import TextOptions
from scaffold.runtime.text_task import TextTask
from scaffold.runtime.vocabulary import Vocabulary


@dataclass(frozen=True)
class LabelOptions(TextOptions):
    """What a row is labelled with, which registered metrics are measured too, and the lengths of its texts."""

    target: Literal["single", "multi", "regression"] = "single"
    metrics: list[str] = field(default_factory=list)


class LabelTask(TextTask):
    """Give each row one label, several, or a number; a task below it says how a row becomes token ids."""

    contract = contracts.SEQUENCE
    options_type = LabelOptions

    @classmethod
    def target(cls, context: Context) -> Target:
        """Return how labels are read, learnt and measured.

        single: cross-entropy, accuracy and F1. multi: binary cross-entropy, exact match and F1. regression: squared
        error, absolute error and correlations. F1 is averaged over labels.
        """
        return TARGETS[context.options.target]

    @classmethod
    def strata(cls, samples: Iterable[Any], options: Any) -> Iterable[object] | None:
        """Return the label of each row, of which splits without a file get their share, where it is one name."""
        return (sample.label for sample in samples) if options.target == "single" else None

    @classmethod
    def fit(
        cls, samples: Iterable[Any], options: LabelOptions, processor: Any, vocabulary: Vocabulary | None = None
    ) -> Context:
        """Number the labels of the training rows; `${fact:num_labels}` gives their number to the config."""
        if vocabulary is None:
            labels = (sample.label for sample in samples if sample.label is not None)
            counts = TARGETS[options.target].collect(labels, cls.sample_type.label_help)
            vocabulary = Vocabulary.from_counts({"labels": counts})
        num_labels = vocabulary.size("labels") or 1  # a number has no vocabulary and one output
        return Context(options, vocabulary, processor, facts={"num_labels": num_labels})

    @classmethod
    def labelled(cls, features: Features, label: Any, context: Context, stage: Stage) -> list[Features]:
        """Put a row's label beside its features."""
        if stage != "predict":
            if label is None:
                raise BadRow("expected a label, got none")
            features["labels"] = cls.target(context).encode(label, context.vocabulary)
        return [features]

    @classmethod
    def as_row(cls, sample: Any, context: Context) -> dict[str, Any]:
        """Return the fields of a sample, its label as the target writes it."""
        row: dict[str, Any] = sample.as_row()
        return row | {"label": cls.target(context).written(row["label"])} if "label" in row else row

    @classmethod
    def batch_targets(
        cls,
        features: Sequence[Features],
        inputs: Mapping[str, Tensor],  # noqa: ARG003
        context: Context,
    ) -> dict[str, Tensor]:
        """Return the labels of the rows, as the target stacks them."""
        return {"labels": cls.target(context).stack([row["labels"] for row in features])}

    def classify(self, logits: Tensor, labels: Tensor | None) -> ClassificationOutput:
        """Put the loss beside the logits (rows, labels)."""
        target = self.target(self.context)  # type: ignore[attr-defined] # BaseModule's, the class beside this one
        return ClassificationOutput(logits=logits, loss=None if labels is None else target.loss(logits, labels))

    @classmethod
    def num_items(cls, batch: Batch) -> int:
        """Count the rows: the loss is their average."""
        return len(batch["labels"])

    @classmethod
    def tally(cls, output: ClassificationOutput, batch: Batch, context: Context) -> dict[str, Tensor]:
        """Count what a training batch got right."""
        return cls.target(context).hits(_logits(output), batch["labels"], _chosen(output))

    @classmethod
    def monitor(cls, context: Context) -> tuple[str, str]:
        """Name the metric that picks the best checkpoint, and whether more (max) or less (min) of it is better."""
        return cls.target(context).monitor

    @classmethod
    def build_metrics(cls, context: Context) -> MetricCollection:
        """Return what validation and test measure: the target's metrics, and those that `task.metrics` names.

        A registered metric is made with the number of labels, and gets what the target's own get.
        """
        num_labels = context.facts["num_labels"]
        metrics = cls.target(context).metrics(num_labels)
        packages = [cls.__module__.partition(".")[0]]
        for name in getattr(context.options, "metrics", ()):  # a project's own options may be of an older template
            found = find(name, "metric", packages)
            metrics.add_metrics({found.name: found.target(num_labels)})
        return metrics

    @classmethod
    def update_metrics(
        cls, metrics: MetricCollection, output: ClassificationOutput, batch: Batch, context: Context
    ) -> None:
        """Add a batch to the metrics: what is predicted, and the labels."""
        update_each(metrics, cls.target(context).predictions(_logits(output), _chosen(output)), batch["labels"])

    @classmethod
    def decode(cls, output: ClassificationOutput, batch: Batch, context: Context) -> list[Prediction]:  # noqa: ARG003
        """Turn logits into one prediction per row."""
        return cls.target(context).decode(_logits(output), context.vocabulary, _chosen(output))


def _logits(output: ClassificationOutput) -> Tensor:
    assert output.logits is not None
    return output.logits


def _chosen(output: ClassificationOutput) -> Tensor | None:
    return getattr(output, "predictions", None)  # an output of transformers has no such field

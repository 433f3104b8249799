"""What tasks that label the tokens of a row do alike, whatever a row is: numbers of labels, loss, metrics and spans."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torchmetrics import MetricCollection

from scaffold.runtime import contracts
from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import IGNORED
from scaffold.runtime.measuring import update_each
from scaffold.runtime.outputs import ClassificationOutput
from scaffold.runtime.samples import BadRow
from scaffold.runtime.spans import OUTSIDE, SpanScores, TagCensus, choose_scheme, closed, kinds_of
from scaffold.runtime.targets import TARGETS
from scaffold.runtime.task import Context, Features, Prediction, Stage
from scaffold.runtime.text import TextOptions
from scaffold.runtime.text_task import TextTask
from scaffold.runtime.vocabulary import Vocabulary
from scaffold.runtime.words import words_of_rows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TagOptions(TextOptions):
    """How spans are read from labels, and the lengths of rows.

    scheme: of what spans the labels are tags; none: of none; auto: as the labels look. strict: whether a span must keep
    its scheme to the letter.
    """

    scheme: Literal["auto", "none", "BIO", "BIOES", "BILOU"] = "auto"
    strict: bool = False


class TagTask(TextTask):
    """Give each token of a row a label; a task below it says how a row becomes token ids.

    Samples have `tags()`, the label of each token or None, which is None as a whole where there are none; and `target`,
    the places of the tokens that are to be labelled, which is None for all. Labels that are tags of spans are measured
    by span.
    """

    contract = contracts.TOKENS
    options_type = TagOptions

    @classmethod
    def fit(
        cls, samples: Iterable[Any], options: TagOptions, processor: Any, vocabulary: Vocabulary | None = None
    ) -> Context:
        """Number the labels, see whether they are tags of spans, and warn where such are illegal.

        Of tags, each type has all of its scheme: validation may have an I-x where training has a B-x alone.
        """
        rows = ((sample.tags(), sample.origin) for sample in samples)
        census = TagCensus((tags, origin) for tags, origin in rows if tags is not None)
        known = vocabulary or census.vocabulary()
        scheme = choose_scheme(options.scheme, known.elements("labels"))
        vocabulary = vocabulary or Vocabulary({"labels": closed(known.elements("labels"), scheme)})
        if options.scheme != "none" and (warning := census.warning(scheme)):
            log.warning(warning)
        return Context(options, vocabulary, processor, {"num_labels": vocabulary.size("labels"), "scheme": scheme})

    @classmethod
    def tagged(
        cls, windows: list[Features], tags: Sequence[str | None] | None, context: Context, stage: Stage
    ) -> list[Features]:
        """Put the labels of a row's tokens beside its features, those of each window beside the window."""
        if stage != "predict":
            if tags is None:
                raise BadRow("expected labels, got none")
            labels = [IGNORED if tag is None else context.vocabulary.index("labels", tag) for tag in tags]
            for window in windows:
                words = max(window["word_ids"]) + 1
                window["labels"], labels = labels[:words], labels[words:]
        return windows

    def classify(self, logits: Tensor, labels: Tensor | None) -> ClassificationOutput:
        """Put the mean loss over labelled words beside the logits (rows, words, labels)."""
        loss = None
        if labels is not None:
            total = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
            loss = total / (labels != IGNORED).sum().clamp(min=1)
        return ClassificationOutput(logits=logits, loss=loss)

    @classmethod
    def num_items(cls, batch: Batch) -> Tensor:
        """Count the labelled words: the loss is their average."""
        return (batch["labels"] != IGNORED).sum()

    @classmethod
    def tally(cls, output: ClassificationOutput, batch: Batch, context: Context) -> dict[str, Tensor]:  # noqa: ARG003
        """Count what a training batch got right."""
        return {"accuracy": (_labels(output) == batch["labels"]).sum()}

    @classmethod
    def monitor(cls, context: Context) -> tuple[str, str]:
        """Name the metric that picks the best checkpoint, and whether more (max) or less (min) of it is better."""
        return ("val/accuracy", "max") if context.facts["scheme"] == "none" else ("val/f1", "max")

    @classmethod
    def build_metrics(cls, context: Context) -> MetricCollection:
        """Return what validation and test measure: precision, recall and F1 of spans; else accuracy and macro F1."""
        if context.facts["scheme"] == "none":
            return TARGETS["single"].metrics(context.facts["num_labels"])
        kinds = kinds_of(context.vocabulary.elements("labels"))
        scores = SpanScores(context.facts["scheme"], context.options.strict, kinds)
        return MetricCollection({"spans": scores}, compute_groups=False)

    @classmethod
    def update_metrics(
        cls, metrics: MetricCollection, output: ClassificationOutput, batch: Batch, context: Context
    ) -> None:
        """Add a batch to the metrics; words without a label count for nothing, and are outside of spans.

        The metric of spans gets the tags of each row, any other the numbers of predicted and right labels, (words,).
        """
        labels, known, predicted = batch["labels"], batch["labels"] != IGNORED, _labels(output)
        spans, others = (
            {name: metric for name, metric in metrics.items() if isinstance(metric, SpanScores) is of_spans}
            for of_spans in (True, False)
        )
        update_each(others, predicted[known], labels[known])
        if spans:
            names = [*context.vocabulary.elements("labels"), OUTSIDE]  # the last is that of words without a label
            both = (torch.where(known, indices, len(names) - 1) for indices in (predicted, labels))
            rows = (words_of_rows(indices, batch["word_ids"], batch.owners) for indices in both)
            update_each(spans, *([[names[index] for index in row] for row in several] for several in rows))

    @classmethod
    def decode(cls, output: ClassificationOutput, batch: Batch, context: Context) -> list[Prediction]:
        """Return one label for each token of each row; None for tokens that `target` leaves out."""
        names = context.vocabulary.elements("labels")
        rows = words_of_rows(_labels(output), batch["word_ids"], batch.owners)
        targets = [sample.target for sample in batch.samples]  # type: ignore[attr-defined]
        return [
            Prediction([names[index] if target is None or place in target else None for place, index in enumerate(row)])
            for target, row in zip(targets, rows, strict=True)
        ]


def _labels(output: ClassificationOutput) -> Tensor:
    """Return the numbers of the predicted labels: the model's own choice, else those that score highest."""
    chosen: Tensor | None = getattr(output, "predictions", None)  # an output of transformers has no such field
    if chosen is not None:
        return chosen
    assert output.logits is not None
    return output.logits.detach().argmax(dim=-1)

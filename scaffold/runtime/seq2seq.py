"""What tasks that write a text for each row do alike, whatever a row is: loss, metrics and written texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torchmetrics import MetricCollection

from scaffold.errors import ConfigError, Where, shown
from scaffold.runtime import contracts
from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import IGNORED
from scaffold.runtime.generation import check_generation, check_languages, decode_texts, tell_unheeded
from scaffold.runtime.outputs import GenerationOutput
from scaffold.runtime.samples import Sample
from scaffold.runtime.task import Context, Features, Prediction, Stage
from scaffold.runtime.text import TextOptions
from scaffold.runtime.text_scores import check_text_metrics, compare_texts, text_metrics
from scaffold.runtime.text_task import TextTask
from scaffold.runtime.vocabulary import Vocabulary


@dataclass(frozen=True)
class Seq2SeqOptions(TextOptions):
    """How texts are written and measured.

    max_target_length: tokens of a target in training. metrics: of bleu, chrf, rouge, exact_match; the first picks the
    best checkpoint. validation_rows: for how many rows of validation a text is written. generation: arguments of
    `generate`. seed: of sampling. target_language: a code of a multilingual tokenizer.
    """

    max_target_length: int = 128
    target_language: str | None = None
    metrics: list[str] = field(default_factory=lambda: ["bleu", "chrf"])
    validation_rows: int | None = 200
    generation: Mapping[str, Any] = field(default_factory=lambda: {"max_new_tokens": 128})
    seed: int = 13

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.validation_rows is not None and self.validation_rows < 1:
            raise ValueError(
                f"expected validation_rows of at least 1, or null for all rows, got {self.validation_rows}"
            )
        check_text_metrics(self.metrics)
        check_generation(self.generation)


class Seq2SeqTask(TextTask):
    """Write a text for each row; a task below it says what a row is and how it becomes token ids.

    Samples have a `target_sequence`, which is None where the text is to be written.
    """

    contract = contracts.GENERATION
    options_type = Seq2SeqOptions

    @classmethod
    def fit(
        cls,
        samples: Iterable[Any],  # noqa: ARG003
        options: Seq2SeqOptions,
        processor: Any,
        vocabulary: Vocabulary | None = None,
    ) -> Context:
        """Return what must be known of the training rows: the tokenizer alone."""
        check_languages(processor, options)
        if vocabulary is not None and vocabulary.source:
            raise ConfigError(
                f"data.vocabulary cannot be {shown(vocabulary.source)}",
                because="this task has no labels to use again: what it knows of the training rows is its tokenizer",
                fix="leave it out",
                where=Where(key="data.vocabulary"),
                code="config.vocabulary",
            )
        return Context(options, vocabulary or Vocabulary({}), processor)

    @classmethod
    def length(cls, features: Features) -> int:
        """Return the length by which rows are batched: that of the longer side."""
        return max(len(features["input_ids"]), len(features.get("labels", ())))

    def predict_tokens(self, logits: Tensor, labels: Tensor | None, smoothing: float = 0.0) -> GenerationOutput:
        """Put the loss beside the logits (rows, target length, vocabulary).

        smoothing: the share of each token that is spread over all others, in training only.
        """
        loss = None
        if labels is not None:
            smoothing = smoothing if self.training else 0.0  # type: ignore[attr-defined] # BaseModule's
            loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), label_smoothing=smoothing)
        return GenerationOutput(logits=logits, loss=loss)

    @classmethod
    def num_items(cls, batch: Batch) -> Tensor:
        """Count the tokens of the targets: the loss is their average."""
        return (batch["labels"] != IGNORED).sum()

    @classmethod
    def monitor(cls, context: Context) -> tuple[str, str]:
        """Name the metric that picks the best checkpoint: the first of `metrics`, else the loss."""
        first = next(iter(context.options.metrics), None)
        return ("val/loss", "min") if first is None else (f"val/{'rougeL' if first == 'rouge' else first}", "max")

    @classmethod
    def build_metrics(cls, context: Context) -> MetricCollection:
        """Return what validation and test measure: perplexity, and written texts against targets."""
        return text_metrics(context.options.metrics)

    @classmethod
    def update_metrics(
        cls,
        metrics: MetricCollection,
        output: GenerationOutput,
        batch: Batch,
        context: Context,  # noqa: ARG003
    ) -> None:
        """Add a batch to the perplexity."""
        assert output.logits is not None
        metrics["perplexity"].update(output.logits.float(), batch["labels"])

    @classmethod
    def to_score(cls, batch: Batch, context: Context, stage: Stage) -> Batch:
        """Return the rows for which texts are written: in validation the first of the file, as it takes time."""
        if not context.options.metrics:
            return batch.first(0)
        return batch.first(context.options.validation_rows) if stage == "validation" else batch

    @classmethod
    def score(cls, metrics: MetricCollection, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Compare written texts with targets."""
        targets = [sample.target_sequence for sample in samples]  # type: ignore[attr-defined]
        compare_texts(metrics, [prediction.value for prediction in predictions], targets)

    @classmethod
    def decode(cls, output: GenerationOutput, batch: Batch, context: Context) -> list[Prediction]:
        """Turn what was written into one text per row, and its candidates where there are several."""
        assert output.sequences is not None
        rows = len(batch["input_ids"])
        predictions = decode_texts(output.sequences, rows, context.processor)
        tell_unheeded(context.options.generation, len(output.sequences) // rows)
        return predictions

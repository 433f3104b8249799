"""What tasks that answer from a text do alike, whatever a row is: places of answers, loss, metrics and best answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torchmetrics import MetricCollection

from scaffold.runtime import contracts
from scaffold.runtime.answers import AnswerScores, are_whole_words, find_answers
from scaffold.runtime.batch import Batch
from scaffold.runtime.outputs import QAOutput
from scaffold.runtime.samples import BadRow, Sample
from scaffold.runtime.task import Context, Features, Prediction, Stage
from scaffold.runtime.text_task import TextTask
from scaffold.runtime.vocabulary import Vocabulary
from scaffold.runtime.windows import place_answer

IMPOSSIBLE = -1e4
POSITIONS = ("start_positions", "end_positions")


@dataclass(frozen=True)
class AnswerOptions:
    """How contexts are read and answers are chosen; all lengths are in tokens.

    max_length: of a window with its question. stride: what neighbouring windows share. max_answer_length: of the
    longest answer. no_answer: whether a question may have none. threshold: by how much an answer must then score higher
    than none. candidates: how many of the best answers are listed.
    """

    max_length: int = 256
    stride: int = 64
    max_answer_length: int = 30
    no_answer: bool = False
    threshold: float = 0.0
    candidates: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.stride <= self.max_length // 4:
            raise ValueError(f"expected 0 <= stride <= max_length / 4, got {self.stride} and {self.max_length}")
        for name, least in (("max_length", 16), ("max_answer_length", 1), ("candidates", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"expected {name} >= {least}, got {getattr(self, name)}")


class AnswerTask(TextTask):
    """Find the answer to a question as a stretch of its context; a task below it says how a row becomes token ids.

    Samples are as `AnswerSample`: `context`, `span` and `right`.
    """

    contract = contracts.QA
    options_type = AnswerOptions
    decode_features = ("offsets",)

    @classmethod
    def fit(
        cls, samples: Iterable[Any], options: AnswerOptions, processor: Any, vocabulary: Vocabulary | None = None
    ) -> Context:
        """See whether answers are made of whole words: then predictions are too. There are no labels to number."""
        return Context(options, vocabulary or Vocabulary({}), processor, {"whole_words": are_whole_words(samples)})

    @classmethod
    def answered(
        cls, windows: list[Features], span: tuple[int, int] | None, context: Context, stage: Stage
    ) -> list[Features]:
        """Put the place of a row's answer beside each window, or that of "none here" where it has not all of it."""
        if stage != "predict":
            if span is None and not context.options.no_answer:
                raise BadRow("expected an answer, got none; set task.no_answer=true if a question may have none")
            place_answer(windows, span, context.processor)
        if stage == "train":
            for window in windows:
                del window["offsets"]  # only `decode` needs them
        return windows

    @classmethod
    def batch_targets(
        cls,
        features: Sequence[Features],
        inputs: Mapping[str, Tensor],
        context: Context,  # noqa: ARG003
    ) -> dict[str, Tensor]:
        """Return where answers start and end in the padded windows, (windows,) each."""
        first = inputs["attention_mask"].argmax(dim=1)  # above 0 where padding stands on the left
        return {name: first + first.new_tensor([window[name] for window in features]) for name in POSITIONS}

    def answer(
        self, scores: Tensor, context_mask: Tensor, start_positions: Tensor | None, end_positions: Tensor | None
    ) -> QAOutput:
        """Put the loss beside the scores (windows, length, 2), of which only those count where an answer may stand."""
        start, end = scores.masked_fill(context_mask.unsqueeze(-1) == 0, IMPOSSIBLE).unbind(dim=-1)
        loss = None
        if start_positions is not None and end_positions is not None:
            loss = (F.cross_entropy(start, start_positions) + F.cross_entropy(end, end_positions)) / 2
        return QAOutput(start_logits=start, end_logits=end, loss=loss)

    @classmethod
    def num_items(cls, batch: Batch) -> int:
        """Count the windows: the loss is their average."""
        return len(batch["start_positions"])

    @classmethod
    def tally(cls, output: QAOutput, batch: Batch, context: Context) -> dict[str, Tensor]:  # noqa: ARG003
        """Count the windows of a training batch whose best start and best end are right."""
        assert output.start_logits is not None
        assert output.end_logits is not None
        start = output.start_logits.detach().argmax(dim=1) == batch["start_positions"]
        end = output.end_logits.detach().argmax(dim=1) == batch["end_positions"]
        return {"accuracy": (start & end).sum()}

    @classmethod
    def monitor(cls, context: Context) -> tuple[str, str]:  # noqa: ARG003
        """Name the metric that picks the best checkpoint, and whether more (max) or less (min) of it is better."""
        return "val/f1", "max"

    @classmethod
    def build_metrics(cls, context: Context) -> MetricCollection:  # noqa: ARG003
        """Return what validation and test measure: exact match and F1."""
        return MetricCollection({"answers": AnswerScores()})

    @classmethod
    def update_metrics(cls, metrics: MetricCollection, output: QAOutput, batch: Batch, context: Context) -> None:
        """Add nothing: `score` measures whole rows, once their windows are merged."""

    @classmethod
    def decode(cls, output: QAOutput, batch: Batch, context: Context) -> list[Prediction]:
        """Return the best answer of each row, over all its windows."""
        options = context.options
        answers = find_answers(
            output,
            batch,
            longest=options.max_answer_length,
            candidates=options.candidates,
            threshold=options.threshold if options.no_answer else None,
            whole_words=context.facts["whole_words"],
        )
        return [*answers]

    @classmethod
    def score(cls, metrics: MetricCollection, samples: Sequence[Sample], predictions: Sequence[Prediction]) -> None:
        """Compare each row's answer with those that are right."""
        right = [sample.right for sample in samples]  # type: ignore[attr-defined]
        metrics.update([answer.value for answer in predictions], right)

"""Answers as stretches of a text: the best one of a row's windows, and how near answers come to the right ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the field's own name for it
from torchmetrics.text import SQuAD

from scaffold.runtime.batch import Batch
from scaffold.runtime.outputs import QAOutput
from scaffold.runtime.squad import AnswerSample
from scaffold.runtime.task import Prediction

MOSTLY = 0.99
LEAST = -1e4  # as good as impossible, and still a number to reckon with


@dataclass(frozen=True)
class Answer(Prediction):
    """An answer's text and its characters in the context, the end exclusive; "" and no place where there is none."""

    start: int | None = None
    end: int | None = None

    def as_row(self) -> dict[str, Any]:
        """Return the fields that are there, as they are written to a file of predictions."""
        place = {} if self.start is None else {"start": self.start, "end": self.end}
        return {"prediction": self.value, **place, **super().as_row()}


class AnswerScores(SQuAD):
    """Exact match and F1 of answers as SQuAD defines them (Rajpurkar et al., 2016), each from 0 to 1.

    Case, punctuation and articles do not count; of several right answers the nearest one does.
    """

    plot_upper_bound = 1.0
    silent: Tensor  # (2,): of the questions without an answer, those that got none, and all

    def __init__(self) -> None:
        super().__init__()
        self.add_state("silent", default=torch.zeros(2), dist_reduce_fx="sum")

    def update(self, preds: Iterable[str], target: Iterable[Sequence[str]]) -> None:  # type: ignore[override]
        """Add rows: an answer, and all that are right, which are none where a question has no answer."""
        pairs = [(text, list(texts)) for text, texts in zip(preds, target, strict=True)]
        self._add([pair for pair in pairs if pair[1]])
        before = self.exact_match.clone()
        unanswerable = [(text, [""]) for text, texts in pairs if not texts]
        self._add(unanswerable)
        self.silent += torch.stack([self.exact_match - before, torch.full_like(before, len(unanswerable))])

    def compute(self) -> dict[str, Tensor]:
        """Return the averages over all rows."""
        return {name: value / 100 for name, value in super().compute().items()}

    def details(self) -> dict[str, Tensor]:
        """Return the averages over questions with an answer and over those without one, where there are both."""
        silent, without = self.silent
        answered = self.total - without
        if not without or not answered:
            return {}
        return {
            "exact_match/answerable": (self.exact_match - silent) / answered,
            "f1/answerable": (self.f1_score - silent) / answered,
            "exact_match/unanswerable": silent / without,
        }

    def _add(self, pairs: Sequence[tuple[str, list[str]]]) -> None:
        given = [{"id": str(row), "prediction_text": text} for row, (text, _) in enumerate(pairs)]
        right = [{"id": str(row), "answers": {"text": texts}} for row, (_, texts) in enumerate(pairs)]
        super().update(given, right)  # type: ignore[arg-type]


class _Span(NamedTuple):
    """A stretch of a context: how much likelier than no answer it is, as a logarithm, its window and its characters."""

    margin: float
    window: int
    start: int
    end: int


def find_answers(
    output: QAOutput,
    batch: Batch,
    *,
    longest: int,
    candidates: int = 0,
    threshold: float | None = None,
    whole_words: bool = False,
) -> list[Answer]:
    """Return an answer per row: the stretch of its context whose first and last token score highest together.

    All windows of a row are searched, and compared by how much higher than "no answer" a stretch scores there. longest:
    in tokens. candidates: how many of the best stretches are listed. threshold: by how much an answer must score higher
    than "no answer"; None gives every row one. whole_words: whether an answer may not begin or end within a word.
    Each feature of the batch has what `encode_windows` gave it.
    """
    owners = np.arange(len(batch["input_ids"])) if batch.owners is None else batch.owners
    tokens = _Tokens.of(batch, owners, whole_words)
    none, joint = _joint_scores(output, tokens, longest)
    spans = _best_spans(joint - none[:, None, None], tokens.offsets, max(1, candidates))
    ranked: list[list[_Span]] = [[] for _ in batch.samples]
    for span in sorted(spans, key=lambda span: -span.margin):
        ranked[owners[span.window]].append(span)
    answers = []
    for row, sample in enumerate(batch.samples):
        doubt = _log_doubt(none.cpu().numpy()[owners == row])
        found = _texts(sample.context, ranked[row], doubt)  # type: ignore[attr-defined]
        if not found or (threshold is not None and ranked[row][0].margin < threshold):
            found.insert(0, Answer("", float(np.exp(doubt))))
        answers.append(replace(found[0], candidates=[one.as_row() for one in found[:candidates]] or None))
    return answers


class _Tokens(NamedTuple):
    """The tokens of a padded batch: their characters, and which may be no answer, an answer's first, and its last."""

    offsets: Tensor
    null: Tensor
    first: Tensor
    last: Tensor

    @classmethod
    def of(cls, batch: Batch, owners: npt.NDArray[Any], whole_words: bool) -> _Tokens:
        """Return those of a batch."""
        mask = batch["attention_mask"].bool()
        offsets = torch.zeros(*mask.shape, 2, dtype=torch.long, device=mask.device)
        known = np.concatenate([feature["offsets"] for feature in batch.features])
        offsets[mask] = torch.from_numpy(known).to(mask.device)
        inside = offsets[..., 1] > 0
        edges = inside.unsqueeze(-1).expand_as(offsets)
        if whole_words:
            breaks = [torch.from_numpy(word_breaks(sample.context)).to(mask.device) for sample in batch.samples]  # type: ignore[attr-defined]
            edges = edges & torch.stack([breaks[row][places] for row, places in zip(owners, offsets, strict=True)])
        return cls(offsets, batch["context_mask"].bool() & ~inside, *edges.unbind(dim=-1))


def _joint_scores(output: QAOutput, tokens: _Tokens, longest: int) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of no answer (features,) and of all stretches (features, first, tokens after it)."""
    possible = tokens.null | (tokens.offsets[..., 1] > 0)
    start, end = (_log_probabilities(logits, possible) for logits in (output.start_logits, output.end_logits))
    none = (start + end).masked_fill(~tokens.null, 0.0).sum(dim=1)
    start, end = start.masked_fill(~tokens.first, -torch.inf), end.masked_fill(~tokens.last, -torch.inf)
    return none, start.unsqueeze(-1) + F.pad(end, (0, longest - 1), value=-torch.inf).unfold(1, longest, 1)


def _best_spans(margins: Tensor, offsets: Tensor, count: int) -> list[_Span]:
    """Return the `count` best stretches of every window."""
    _, length, longest = margins.shape
    scores, places = margins.flatten(1).topk(min(count, length * longest))
    first = places // longest
    last = (first + places % longest).clamp(max=length - 1)
    windows = torch.arange(len(margins), device=margins.device).unsqueeze(1).expand_as(first)
    columns = [scores, windows, offsets[..., 0].gather(1, first), offsets[..., 1].gather(1, last)]
    found = (_Span(*values) for values in zip(*(column.flatten().tolist() for column in columns), strict=True))
    return [span for span in found if span.margin > -torch.inf]


def are_whole_words(samples: Iterable[AnswerSample]) -> bool:
    """Return whether answers begin and end with a word, in at least 99 of 100 rows that have one."""
    whole = [bool(word_breaks(sample.context)[list(sample.span)].all()) for sample in samples if sample.span]
    return bool(whole) and sum(whole) >= MOSTLY * len(whole)


def word_breaks(text: str) -> npt.NDArray[np.bool_]:
    """Return where a word may begin or end: (characters + 1,), false between two letters or digits."""
    letters = np.array([False, *map(str.isalnum, text), False])
    return ~(letters[:-1] & letters[1:])


def _log_probabilities(logits: Tensor | None, possible: Tensor) -> Tensor:
    assert logits is not None
    # double: beside an impossible "no answer", single precision would blur the differences
    return logits.double().clamp(min=LEAST).masked_fill(~possible, -torch.inf).log_softmax(dim=1)


def _log_doubt(none: npt.NDArray[np.float64]) -> float:
    """Return a row's log-probability of no answer from those of its windows, whose odds of an answer add up."""
    odds = np.logaddexp.reduce(-none)
    return float(-odds - np.log1p(-(len(none) - 1) * np.exp(-odds)))


def _texts(context: str, spans: Iterable[_Span], doubt: float) -> list[Answer]:
    """Return the different answers among stretches, in their order; blanks around a text are no part of it."""
    found: dict[tuple[int, int], Answer] = {}
    for span in spans:
        text = context[span.start : span.end]
        start = span.start + len(text) - len(text.lstrip())
        end = start + len(text.strip())
        if end > start and (start, end) not in found:
            found[start, end] = Answer(text.strip(), float(np.exp(span.margin + doubt)), start=start, end=end)
    return list(found.values())

"""Metrics of written texts, each compared with its references."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.text import Perplexity, ROUGEScore, SacreBLEUScore

from scaffold.errors import listed, shown
from scaffold.runtime.contracts import IGNORED

log = logging.getLogger(__name__)

ROUGE_KEYS = ("rouge1", "rouge2", "rougeL")
CHARACTERS = range(1, 7)
RECALL_WEIGHT = 2.0


class ExactMatch(Metric):
    """The share of texts that are one of their references, character by character."""

    full_state_update = False
    higher_is_better = True
    hits: Tensor
    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("hits", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:
        """Count texts, each with its references."""
        self.hits += sum(text in references for text, references in zip(preds, target, strict=True))
        self.total += len(preds)

    def compute(self) -> Tensor:
        """Return the share of hits."""
        return self.hits / self.total.clamp(min=1)


class Chrf(Metric):
    """chrF (Popović, 2015): precision and recall of character n-grams up to six over all texts, recall weighs double.

    torchmetrics has one that forgets the reference of a text that has nothing in common with it.
    """

    full_state_update = False
    higher_is_better = True
    counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(3, len(CHARACTERS), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:
        """Count the n-grams of texts, each with the reference that it is nearest to."""
        for text, references in zip(preds, target, strict=True):
            found = [_shared(text, reference) for reference in references]
            self.counts += max(found, key=_chrf).to(self.counts.device)

    def compute(self) -> Tensor:
        """Return chrF over all texts."""
        return _chrf(self.counts).float()


def _shared(text: str, reference: str) -> Tensor:
    """Return how many n-grams both have, the text has and the reference has: (3, lengths)."""
    pairs = [(_ngrams(text, size), _ngrams(reference, size)) for size in CHARACTERS]
    numbers = [((mine & theirs).total(), mine.total(), theirs.total()) for mine, theirs in pairs]
    return torch.tensor(numbers, dtype=torch.float64).T


def _ngrams(text: str, size: int) -> Counter[str]:
    characters = "".join(text.split())
    return Counter(characters[start : start + size] for start in range(len(characters) - size + 1))


def _chrf(counts: Tensor) -> Tensor:
    shared, mine, theirs = counts
    lengths = ((mine > 0) & (theirs > 0)).sum().clamp(min=1)  # texts may be shorter than the longest n-gram
    precision, recall = ((shared / side.clamp(min=1)).sum() / lengths for side in (mine, theirs))
    weight = RECALL_WEIGHT**2
    return (1 + weight) * precision * recall / (weight * precision + recall).clamp(min=1e-12)


class Rouge(ROUGEScore):
    """ROUGE-1, -2 and -L: the F-measures only, without stemming.

    A word is a run of a-z and 0-9 in small letters, as in rouge_score, with which published figures are made.
    """

    def __init__(self) -> None:
        super().__init__(rouge_keys=ROUGE_KEYS)

    def update(self, preds: Sequence[str], target: Sequence[Sequence[str]]) -> None:  # type: ignore[override]
        """Score texts, each with its references; say once that a reference has no word."""
        if any(text and not re.search("[a-z0-9]", text.lower()) for references in target for text in references):
            _tell_no_words()
        super().update(preds, target)

    def compute(self) -> dict[str, Tensor]:
        """Return each F-measure under its usual name."""
        found = super().compute()
        return {key: found[f"{key}_fmeasure"] for key in ROUGE_KEYS}


@cache
def _tell_no_words() -> None:
    log.warning("rouge counts words of a-z and 0-9 alone: a target without any scores 0; chrf reads all letters")


TEXT_METRICS: dict[str, Callable[[], Metric]] = {
    "bleu": lambda: SacreBLEUScore(tokenize="13a"),
    "chrf": Chrf,
    "rouge": Rouge,
    "exact_match": ExactMatch,
}


def check_text_metrics(names: Iterable[str]) -> None:
    """Raise ValueError for a name that is no metric of texts."""
    for name in names:
        if name not in TEXT_METRICS:
            raise ValueError(f"expected metrics among {listed(TEXT_METRICS)}, got {shown(name)}")


def text_metrics(names: Iterable[str]) -> MetricCollection:
    """Return the perplexity of logits, and metrics of written texts by their names, all of these from 0 to 1.

    bleu: of the corpus, cased, tokenised as sacreBLEU's 13a. chrf: chrF. rouge: gives rouge1, rouge2 and rougeL.
    exact_match: the share of texts that are right to the character.
    """
    metrics: dict[str, Metric] = {name: TEXT_METRICS[name]() for name in names}
    # they have nothing in common that could be computed once, and are not updated together
    return MetricCollection({"perplexity": Perplexity(ignore_index=IGNORED), **metrics}, compute_groups=False)


def compare_texts(metrics: MetricCollection, texts: Sequence[str], targets: Sequence[str]) -> None:
    """Add written texts and what they should have been to the metrics of texts."""
    for name, metric in metrics.items():
        if name in TEXT_METRICS:
            metric.update(texts, [[target] for target in targets])

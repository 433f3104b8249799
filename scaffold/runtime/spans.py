"""Spans written as a tag per word (BIO, BIOES, BILOU): which there are, how well they are found, where tags break.

Without `strict` spans are read as conlleval and seqeval do, in any scheme and forgivingly: a span goes on while I or E
of its type follows B or I. With it, a span counts only when it begins and ends as its scheme says, as in seqeval's
strict mode.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from scaffold.errors import ConfigError, Where, listed, shown
from scaffold.runtime.targets import learnable
from scaffold.runtime.vocabulary import Vocabulary

OUTSIDE = "O"
TAG = re.compile(r"([BIESLU])(-.+)?")
SCHEMES = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU"}
AS_BIOES = {"L": "E", "U": "S"}
# the prefixes of a whole span, in terms of BIOES
WHOLE = {"BIO": re.compile("BI*"), "BIOES": re.compile("BI*E|S"), "BILOU": re.compile("BI*E|S")}
MOST_PLACES = 5
FEW = 10  # one label of so many


class Span(NamedTuple):
    """The words from `begin` up to, not including, `end`, and what they are."""

    begin: int
    end: int
    kind: str


def scheme_of(labels: Iterable[str]) -> str:
    """Return the scheme in which labels are tags of spans: BIO, BIOES or BILOU; else none.

    Tags without a type are taken for such only where B, I and O are all there.
    """
    names = set(labels)
    matches = [TAG.fullmatch(name) for name in names - {OUTSIDE}]
    prefixes = {match[1] for match in matches if match and (match[2] or names >= {"B", "I", OUTSIDE})}
    fitting = [scheme for scheme, allowed in SCHEMES.items() if prefixes and prefixes <= set(allowed)]
    typical = all(match and match[1] in prefixes for match in matches)
    return fitting[0] if fitting and typical else "none"


def choose_scheme(wanted: str, labels: Sequence[str]) -> str:
    """Return the scheme that `task.scheme` names, for auto the one of the labels; ConfigError where it cannot be."""
    if wanted == "auto":
        return scheme_of(labels)
    strange = [label for label in labels if label != OUTSIDE and not _is_tag(label, wanted)]
    if wanted in SCHEMES and strange:
        raise ConfigError(
            f"task.scheme cannot be {wanted}",
            because=f"its tags are {OUTSIDE} and {listed(f'{prefix}-…' for prefix in SCHEMES[wanted])}; "
            f"the training rows have {listed(map(shown, strange))}",
            fix="set task.scheme=auto, or mend the labels",
            where=Where(key="task.scheme"),
        )
    return wanted


def spans_of(tags: Sequence[str], scheme: str = "BIO", *, strict: bool = False) -> list[Span]:
    """Return the spans of a row's tags, in order."""
    parts = [_parted(tag, scheme) for tag in tags]
    found, begin = [], 0
    for place in range(1, len(parts) + 1):
        if place < len(parts) and _goes_on(parts[place - 1], parts[place]):
            continue
        prefix, kind = parts[begin]
        whole = "".join(prefix for prefix, _ in parts[begin:place])
        if prefix != OUTSIDE and (not strict or WHOLE[scheme].fullmatch(whole)):
            found.append(Span(begin, place, kind))
        begin = place
    return found


class SpanScores(Metric):
    """Precision, recall and F1 of whole spans: words and type must be right.

    kinds: the types of which `details` speaks; spans of others count as well.
    """

    full_state_update = False
    counts: Tensor  # (types and one for all others, 3): spans that are right, predicted and wanted

    def __init__(self, scheme: str = "BIO", strict: bool = False, kinds: Sequence[str] = ()) -> None:
        super().__init__()
        self.scheme, self.strict, self.kinds = scheme, strict, tuple(kinds)
        self.add_state("counts", default=torch.zeros(len(kinds) + 1, 3, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Sequence[Sequence[str]], target: Sequence[Sequence[str]]) -> None:
        """Add rows, each a tag per word."""
        places = {kind: place for place, kind in enumerate(self.kinds)}
        table = [[0, 0, 0] for _ in range(len(places) + 1)]
        for ours, theirs in zip(preds, target, strict=True):
            found, true = (set(spans_of(tags, self.scheme, strict=self.strict)) for tags in (ours, theirs))
            for column, spans in enumerate((found & true, found, true)):
                for span in spans:
                    table[places.get(span.kind, -1)][column] += 1
        self.counts += torch.tensor(table, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """Return the three; what would be divided by zero is zero."""
        return _figures(self.counts.sum(dim=0))

    def details(self) -> dict[str, Tensor]:
        """Return the same of each type, as f1/place, and how many spans of it there are."""
        return {
            f"{name}/{kind}": value
            for kind, counts in zip(self.kinds, self.counts, strict=False)
            for name, value in {**_figures(counts), "spans": counts[2].float()}.items()
        }


def closed(labels: Sequence[str], scheme: str) -> list[str]:
    """Return labels, sorted, with all tags of a scheme for each type that one of them is of."""
    if scheme not in SCHEMES:
        return list(labels)
    rest = {label[1:] for label in labels if label != OUTSIDE}
    return sorted({*labels, *(prefix + kind for kind in rest for prefix in SCHEMES[scheme])})


def kinds_of(labels: Iterable[str]) -> list[str]:
    """Return the types of spans, sorted; tags without a type are of none."""
    return sorted({label[2:] for label in labels if label != OUTSIDE} - {""})


class TagCensus:
    """Counts the tags of the training rows, and remembers where one first follows another.

    rows: the tags of each row, None for a word without one, and the row's file and line.
    """

    def __init__(self, rows: Iterable[tuple[Sequence[str | None], object]] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}
        for tags, origin in rows:
            self.add(tags, origin)

    def vocabulary(self) -> Vocabulary:
        """Return the tags, numbered; DataError when there is nothing to learn."""
        return Vocabulary.from_counts({"labels": learnable(self.counts)})

    def add(self, tags: Sequence[str | None], origin: object) -> None:
        """Take a row's tags; None stands for a word without one. origin: the file and line of the row."""
        self.counts.update(tag for tag in tags if tag is not None)
        for place, (before, after) in enumerate(zip([OUTSIDE, *tags], [*tags, OUTSIDE], strict=True)):
            if before is not None and after is not None:
                self._pairs[before, after] += 1
                if (before, after) not in self._first:
                    self._first[before, after] = _place(before, after, place, len(tags), origin)

    def breaches(self, scheme: str) -> tuple[int, list[str]]:
        """Return how often tags follow each other against a scheme, and the first place of each such pair."""
        if scheme not in SCHEMES:
            return 0, []
        broken = [(before, after) for before, after in self._first if not _may_follow(before, after, scheme)]
        return sum(self._pairs[pair] for pair in broken), [self._first[pair] for pair in broken]

    def strays(self) -> list[str]:
        """Return the few labels without which all others would be tags of spans."""
        typed = {label for label in self.counts if label == OUTSIDE or ((match := TAG.fullmatch(label)) and match[2])}
        strays = sorted(self.counts.keys() - typed)
        are_few = sum(self.counts[label] for label in strays) * FEW < self.counts.total()
        return strays if are_few and scheme_of(typed) in SCHEMES else []

    def warning(self, scheme: str) -> str:
        """Say where the training rows break a scheme, or have none for a few labels; nothing where they keep it."""
        if scheme not in SCHEMES and (strays := self.strays()):
            return (
                f"train: {listed(map(shown, strays))} {'is no tag' if len(strays) == 1 else 'are no tags'} of spans, "
                "so labels are measured one by one, and no spans; mend the rows, or set task.scheme=none"
            )
        count, places = self.breaches(scheme)
        if not count:
            return ""
        return (
            f"train: tags break {scheme} in {count} place{'s' * (count > 1)}: {listed(places, MOST_PLACES)}. "
            "They are learnt as they are; mend them, or set task.scheme to what they follow"
        )


def _figures(counts: Tensor) -> dict[str, Tensor]:
    hits, predicted, wanted = counts.float()
    return {
        "precision": hits / predicted.clamp(min=1),
        "recall": hits / wanted.clamp(min=1),
        "f1": 2 * hits / (predicted + wanted).clamp(min=1),
    }


def _place(before: str, after: str, place: int, count: int, origin: object) -> str:
    if place == count:
        return f"{origin}: the row ends after {shown(before)}"
    if not place:
        return f"{origin}: {shown(after)} begins the row"
    return f"{origin}: {shown(after)} at word {place + 1} after {shown(before)}"


def _is_tag(label: str, scheme: str) -> bool:
    match = TAG.fullmatch(label)
    return bool(match and match[1] in SCHEMES.get(scheme, ""))


def _parted(tag: str, scheme: str) -> tuple[str, str]:
    """Return prefix and type of a tag; those of BILOU in terms of BIOES."""
    prefix, kind = tag[:1], tag[1:].removeprefix("-")
    return (AS_BIOES.get(prefix, prefix) if scheme == "BILOU" else prefix), kind


def _goes_on(before: tuple[str, str], after: tuple[str, str]) -> bool:
    return before[0] in ("B", "I") and after[0] in ("I", "E") and before[1] == after[1]


def _may_follow(before: str, after: str, scheme: str) -> bool:
    first, second = _parted(before, scheme), _parted(after, scheme)
    if second[0] in ("I", "E"):
        return _goes_on(first, second)
    return scheme == "BIO" or first[0] not in ("B", "I")

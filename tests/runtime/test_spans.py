from __future__ import annotations

import importlib
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime.spans import (
    Span,
    SpanScores,
    TagCensus,
    choose_scheme,
    closed,
    kinds_of,
    scheme_of,
    spans_of,
)

PREFIXES = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU"}
MODES = [(scheme, strict) for scheme in PREFIXES for strict in (False, True)]


def random_rows(scheme, count, seed=13):
    """Return rows of random tags, and others that agree with them in most places."""
    rng = np.random.default_rng(seed)
    tags = ["O", "O", *(f"{prefix}-{kind}" for prefix in PREFIXES[scheme] for kind in ("place", "a-b"))]
    wanted = [rng.choice(tags, size=rng.integers(1, 13)).tolist() for _ in range(count)]
    guesses = [[tag if rng.random() < 0.7 else str(rng.choice(tags)) for tag in row] for row in wanted]
    return guesses, wanted


def measured(guesses, wanted, scheme="BIO", strict=False):
    metric = SpanScores(scheme, strict)
    metric.update(guesses, wanted)
    return {name: value.item() for name, value in metric.compute().items()}


# Spans


@pytest.mark.parametrize(
    "tags, spans",
    [
        ("B-x I-x O B-y", [(0, 2, "x"), (3, 4, "y")]),
        ("B-x B-x I-x", [(0, 1, "x"), (1, 3, "x")]),
        ("O I-x I-x I-y", [(1, 3, "x"), (3, 4, "y")]),
        ("B-a-b I-a-b", [(0, 2, "a-b")]),
        ("B I O B", [(0, 2, ""), (3, 4, "")]),
        ("O O", []),
        ("", []),
    ],
)
def test_spans_of_bio_tags(tags, spans):
    assert spans_of(tags.split()) == [Span(*span) for span in spans]


@pytest.mark.parametrize(
    "scheme, tags, spans",
    [
        ("BIO", "I-x I-x B-x I-x I-y", [(2, 4, "x")]),
        ("BIOES", "B-x E-x S-y B-x I-x O E-x B-y", [(0, 2, "x"), (2, 3, "y")]),
        ("BILOU", "B-x L-x U-y B-x I-x O L-x B-y", [(0, 2, "x"), (2, 3, "y")]),
    ],
)
def test_strict_spans_begin_and_end_as_their_scheme_says(scheme, tags, spans):
    assert spans_of(tags.split(), scheme, strict=True) == [Span(*span) for span in spans]


def by_pattern(tags, scheme):
    """Find the spans once more, in another way: one letter a tag, and a pattern for each type."""
    letters = str.maketrans("LU", "ES") if scheme == "BILOU" else {}
    found = set()
    for kind in {tag[2:] for tag in tags if tag != "O"}:
        line = "".join(tag[0].translate(letters) if tag[2:] == kind else "." for tag in tags)
        found |= {(*match.span(), kind) for match in re.finditer("[BI]I*E?|[ES]", line)}
    return found


@pytest.mark.parametrize("scheme", PREFIXES)
def test_ten_thousand_random_rows_have_the_spans_that_a_pattern_finds(scheme):
    guesses, wanted = random_rows(scheme, 5000)
    for tags in guesses + wanted:
        assert {tuple(span) for span in spans_of(tags, scheme)} == by_pattern(tags, scheme), tags


@pytest.mark.parametrize("scheme", PREFIXES)
def test_strict_spans_are_those_spans_whose_tags_keep_the_scheme(scheme):
    whole = {"BIO": "BI*", "BIOES": "BI*E|S", "BILOU": "BI*L|U"}[scheme]
    for tags in random_rows(scheme, 5000)[1]:
        kept = [
            span
            for span in spans_of(tags, scheme)
            if re.fullmatch(whole, "".join(tag[0] for tag in tags[span.begin : span.end]))
        ]
        assert spans_of(tags, scheme, strict=True) == kept, tags


@pytest.fixture
def seqeval(monkeypatch):
    """Return seqeval's module for a scheme, or skip the test where it is not installed."""
    monkeypatch.setattr(sys, "path", [*sys.path, *os.environ.get("SCAFFOLD_SEQEVAL", "").split(os.pathsep)])
    return pytest.importorskip("seqeval", reason="seqeval is not installed; SCAFFOLD_SEQEVAL may name its folder")


@pytest.mark.parametrize("scheme, strict", [mode for mode in MODES if mode != ("BILOU", False)])
def test_scores_are_those_of_seqeval_on_ten_thousand_random_rows(seqeval, scheme, strict):
    metrics = importlib.import_module("seqeval.metrics")
    schemes = importlib.import_module("seqeval.scheme")
    names = {"BIO": schemes.IOB2, "BIOES": schemes.IOBES, "BILOU": schemes.BILOU}
    options = {"mode": "strict", "scheme": names[scheme]} if strict else {}
    guesses, wanted = random_rows(scheme, 10_000)
    expected = {name: getattr(metrics, f"{name}_score")(wanted, guesses, **options) for name in ("precision", "recall")}
    expected["f1"] = metrics.f1_score(wanted, guesses, **options)
    assert measured(guesses, wanted, scheme, strict) == pytest.approx(expected, abs=1e-6)


# Scores


@pytest.mark.parametrize("scheme, strict", MODES)
def test_two_batches_score_as_one_big_batch(scheme, strict):
    guesses, wanted = random_rows(scheme, 200)
    metric = SpanScores(scheme, strict)
    metric.update(guesses[:50], wanted[:50])
    metric.update(guesses[50:], wanted[50:])
    assert {name: value.item() for name, value in metric.compute().items()} == measured(guesses, wanted, scheme, strict)


def test_precision_recall_and_f1_by_hand():
    wanted = [["B-x", "I-x", "O", "B-y"], ["B-x"]]
    guesses = [["B-x", "O", "B-y", "B-y"], ["B-x"]]
    assert measured(guesses, wanted) == pytest.approx({"precision": 2 / 4, "recall": 2 / 3, "f1": 4 / 7})


def test_perfect_predictions_score_one_and_others_zero():
    _, wanted = random_rows("BIO", 20)
    assert set(measured(wanted, wanted).values()) == {1.0}
    outside = [["O"] * len(row) for row in wanted]
    assert set(measured(outside, wanted).values()) == set(measured(wanted, outside).values()) == {0.0}


def test_details_are_the_same_figures_of_each_type():
    wanted, guesses = [["B-x", "I-x", "O", "B-y"], ["B-x"]], [["B-x", "O", "B-y", "B-y"], ["B-x"]]
    metric = SpanScores("BIO", kinds=["x", "y"])
    metric.update(guesses, wanted)
    assert {name: value.item() for name, value in metric.details().items()} == pytest.approx(
        {"precision/x": 1 / 2, "recall/x": 1 / 2, "f1/x": 1 / 2, "spans/x": 2}
        | {"precision/y": 1 / 2, "recall/y": 1, "f1/y": 2 / 3, "spans/y": 1}
    )
    assert metric.compute()["f1"].item() == pytest.approx(4 / 7)


def test_spans_of_a_type_that_is_not_known_count_all_the_same():
    metric = SpanScores("BIO", kinds=["x"])
    metric.update([["B-x", "B-z"]], [["B-x", "B-y"]])
    assert metric.compute()["f1"].item() == pytest.approx(1 / 2)
    assert metric.details()["f1/x"] == 1


# Schemes


@pytest.mark.parametrize(
    "labels, scheme",
    [
        (["B-x", "I-x", "O"], "BIO"),
        (["I-x", "O"], "BIO"),
        (["B-x", "I-x", "E-x", "S-x", "O"], "BIOES"),
        (["B-x", "I-x", "L-x", "U-x", "O"], "BILOU"),
        (["B", "I", "O"], "BIO"),
        (["NOUN", "VERB", "X"], "none"),
        (["B-x", "I-x", "O", "VERB"], "none"),
        (["S", "V", "O"], "none"),
        (["B", "O"], "none"),
        (["O"], "none"),
        (["B-x", "E-x", "L-x"], "none"),
    ],
)
def test_the_scheme_is_seen_in_the_labels(labels, scheme):
    assert scheme_of(labels) == scheme


def test_a_scheme_that_does_not_fit_the_labels_is_refused():
    assert choose_scheme("auto", ["NOUN", "X"]) == choose_scheme("none", ["B-x", "O"]) == "none"
    assert choose_scheme("BIOES", ["B-x", "O"]) == "BIOES"
    with pytest.raises(ConfigError) as found:
        choose_scheme("BIO", ["B-x", "E-x", "NOUN", "O"])
    assert found.value.because == "its tags are O and B-…, I-…; the training rows have 'E-x', 'NOUN'"
    assert (str(found.value.where), found.value.fix) == ("task.scheme", "set task.scheme=auto, or mend the labels")


def warned(scheme, *rows):
    return TagCensus((row.split(), Path(f"train.tsv:{number}")) for number, row in enumerate(rows, 1)).warning(scheme)


def test_a_label_that_keeps_all_others_from_being_tags_is_told():
    rows = ["O B-PET I-PET O O O O O O O B-PET O", "O C-CITY"]
    assert warned("none", *rows) == (
        "train: 'C-CITY' is no tag of spans, so labels are measured one by one, and no spans; "
        "mend the rows, or set task.scheme=none"
    )
    assert warned("none", "DET NOUN VERB O B-PET") == ""


def test_tags_that_keep_their_scheme_give_no_warning():
    assert warned("BIO", "B-x I-x O B-y B-y", "O") == ""
    assert warned("BIOES", "B-x I-x E-x S-y O", "S-x") == ""
    assert warned("BILOU", "B-x L-x U-y O", "U-x") == ""
    assert warned("none", "NOUN I-x") == ""


@pytest.mark.parametrize(
    "scheme, row, place",
    [
        ("BIO", "O I-x", "train.tsv:1: 'I-x' at word 2 after 'O'"),
        ("BIO", "I-x", "train.tsv:1: 'I-x' begins the row"),
        ("BIO", "B-y I-x", "train.tsv:1: 'I-x' at word 2 after 'B-y'"),
        ("BIOES", "B-x O", "train.tsv:1: 'O' at word 2 after 'B-x'"),
        ("BIOES", "S-x E-x", "train.tsv:1: 'E-x' at word 2 after 'S-x'"),
        ("BIOES", "O B-x", "train.tsv:1: the row ends after 'B-x'"),
        ("BILOU", "O L-x", "train.tsv:1: 'L-x' at word 2 after 'O'"),
    ],
)
def test_tags_that_break_their_scheme_are_named_with_file_and_line(scheme, row, place):
    assert warned(scheme, row) == (
        f"train: tags break {scheme} in 1 place: {place}. "
        "They are learnt as they are; mend them, or set task.scheme to what they follow"
    )


def test_each_kind_of_breach_is_named_once_and_counted_always():
    census = TagCensus((row.split(), f"train.tsv:{number}") for number, row in enumerate(["B-x", *["O I-x"] * 3], 1))
    assert census.breaches("BIO") == (3, ["train.tsv:2: 'I-x' at word 2 after 'O'"])


def test_a_word_without_a_tag_is_no_neighbour():
    census = TagCensus([(["O", None, "I-x"], "train.tsv:1"), (["B-x"], "train.tsv:2")])
    assert census.breaches("BIO") == (0, [])
    assert census.vocabulary().elements("labels") == ("B-x", "I-x", "O")


@pytest.mark.parametrize(
    "labels, scheme, expected",
    [
        ("B-x O", "BIO", "B-x I-x O"),
        ("I-x O", "BIO", "B-x I-x O"),
        ("B-x S-y O", "BIOES", "B-x B-y E-x E-y I-x I-y O S-x S-y"),
        ("B-x U-x", "BILOU", "B-x I-x L-x U-x"),
        ("B I O", "BIO", "B I O"),
        ("NOUN B-x", "none", "NOUN B-x"),
    ],
)
def test_each_type_has_all_tags_of_its_scheme(labels, scheme, expected):
    assert closed(labels.split(), scheme) == expected.split()


def test_types_are_what_follows_the_prefix():
    assert kinds_of(["O", "B-a-b", "I-a-b", "S-c", "B"]) == ["a-b", "c"]


def test_one_tag_alone_cannot_be_learnt():
    with pytest.raises(DataError, match="at least two different labels") as found:
        TagCensus([(["O", "O"], "train.tsv:1")]).vocabulary()
    assert (found.value.because, found.value.fix) == ("the only label is 'O'", "check data.columns, and the labels")

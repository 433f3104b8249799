from __future__ import annotations

import math
from collections import Counter

import pytest
import torch

from scaffold.runtime import text_scores
from scaffold.runtime.text_scores import TEXT_METRICS, check_text_metrics, compare_texts, text_metrics

NAMES = list(TEXT_METRICS)
TEXTS = ["The cat sat on the mat.", "a dog runs over the green grass", "", "two men"]
TARGETS = ["The cat sat on a mat.", "A dog runs over green grass .", "somebody sleeps in the sun", "two men"]


def measured(texts, targets, names=NAMES, parts=1):
    metrics = text_metrics(names)
    for part in range(parts):
        compare_texts(metrics, texts[part::parts], targets[part::parts])
    metrics.pop("perplexity")
    return {name: value.item() for name, value in metrics.compute().items()}


def ngrams(items, size):
    return Counter(tuple(items[start : start + size]) for start in range(len(items) - size + 1))


def test_a_text_that_is_its_target_scores_one_and_another_nothing():
    assert measured(["two small dogs run"], ["two small dogs run"]) == pytest.approx(dict.fromkeys(keys(), 1.0))
    assert measured(["xx yy zz qq"], ["two small dogs run"]) == pytest.approx(dict.fromkeys(keys(), 0.0))


def keys():
    return ["bleu", "chrf", "rouge1", "rouge2", "rougeL", "exact_match"]


def test_no_text_at_all_scores_nothing():
    assert measured(["", ""], ["two dogs", "a man"]) == pytest.approx(dict.fromkeys(keys(), 0.0))


def test_two_batches_are_one_large_one():
    assert measured(TEXTS, TARGETS, parts=2) == pytest.approx(measured(TEXTS, TARGETS))


def test_bleu_is_that_of_the_corpus_cased_and_with_punctuation_apart():
    cut = [[text.replace(".", " . ").split() for text in side] for side in (TEXTS, TARGETS)]
    precisions = []
    for size in range(1, 5):
        hits = sum((ngrams(a, size) & ngrams(b, size)).total() for a, b in zip(*cut, strict=True))
        precisions.append(hits / sum(ngrams(a, size).total() for a in cut[0]))
    mine, theirs = (sum(map(len, side)) for side in cut)
    expected = math.exp(min(0.0, 1 - theirs / mine)) * math.prod(precisions) ** 0.25
    assert measured(TEXTS, TARGETS, ["bleu"])["bleu"] == pytest.approx(expected, abs=1e-6)


def test_chrf_weighs_recall_of_character_ngrams_up_to_six():
    precision, recall = [], []
    for size in range(1, 7):
        sides = [[ngrams(text.replace(" ", ""), size) for text in side] for side in (TEXTS, TARGETS)]
        hits = sum((a & b).total() for a, b in zip(*sides, strict=True))
        for found, side in zip((precision, recall), sides, strict=True):
            found.append(hits / sum(counts.total() for counts in side))
    one, other = sum(precision) / 6, sum(recall) / 6
    assert measured(TEXTS, TARGETS, ["chrf"])["chrf"] == pytest.approx(5 * one * other / (4 * one + other))


def test_a_text_without_anything_in_common_lowers_chrf():
    assert measured(["two men", ""], ["two men", "two men"], ["chrf"])["chrf"] == pytest.approx(5 * 0.5 / (4 + 0.5))


def test_texts_shorter_than_the_longest_ngram_can_be_right():
    assert measured(["ab"], ["ab"], ["chrf"]) == {"chrf": 1.0}


def test_chrf_takes_the_nearest_of_several_references():
    metrics = text_metrics(["chrf"])
    metrics["chrf"].update(["two men"], [["a dog", "two men"]])
    assert metrics["chrf"].compute() == 1.0


def test_rouge_is_the_mean_f_measure_of_rows():
    found = measured(["the cat sat", "x"], ["the cat on the mat sat", "y"], ["rouge"])
    # 3 of 3 and of 6 words, 1 of 2 and of 5 pairs, 3 words in order; the other row has nothing
    assert found == pytest.approx({"rouge1": (2 / 3) / 2, "rouge2": (2 / 7) / 2, "rougeL": (2 / 3) / 2})


def test_rouge_counts_words_of_latin_letters_and_digits_and_says_once_that_a_target_has_none(caplog):
    text_scores._tell_no_words.cache_clear()
    assert measured(["grün"], ["gr n"], ["rouge"])["rouge1"] == 1.0  # an umlaut parts words
    assert not caplog.messages
    for _ in range(2):
        assert measured(["привет мир"], ["привет мир"], ["rouge"])["rouge1"] == 0.0
    assert caplog.messages == [
        "rouge counts words of a-z and 0-9 alone: a target without any scores 0; chrf reads all letters"
    ]


def test_exact_match_is_exact():
    assert measured(["two men", "Two men", "two men.", ""], ["two men"] * 3 + ["x"], ["exact_match"]) == {
        "exact_match": 0.25
    }


def test_perplexity_passes_over_padding():
    metrics = text_metrics([])
    labels = torch.tensor([[1, 2, -100], [0, -100, -100]])
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    metrics["perplexity"].update(logits, labels)
    expected = torch.nn.functional.cross_entropy(logits[labels >= 0], labels[labels >= 0]).exp()
    torch.testing.assert_close(metrics.compute()["perplexity"], expected)


def test_an_unknown_metric_is_refused():
    with pytest.raises(ValueError, match="expected metrics among bleu, chrf, rouge, exact_match, got 'meteor'"):
        check_text_metrics(["bleu", "meteor"])

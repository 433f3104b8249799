from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import BertTokenizer

from scaffold.errors import ConfigError
from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.words import encode_words, pool_words, words_of_rows

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
ODD = [
    "the",
    "cafe\u0301",
    "\u200b",
    "\u00a0",
    "😀",
    FAMILY,
    "日本語",
    "day's",
    "\ufffd",
    "ﬁn",
    "İ",
    "a\u00a0b",
    "x" * 40,
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "city", "un", "##break", "##able", "day", "'", "s"]


def test_another_way_to_pool_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match="words cannot be pooled by 'max'") as found:
        pool_words(torch.zeros(1, 2, 3), torch.tensor([[0, 1]]), "max")
    assert found.value.because == "pool_words knows mean, first"
    assert found.value.fix == "hand it one of these, or make the states of words in the model itself"


@pytest.fixture(scope="module")
def scratch():
    return train_tokenizer(["the day in the city", "an unbreakable day"] * 3)


@pytest.fixture(scope="module")
def bert():
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)})


def one(tokenizer, words, max_length=256):
    [window] = encode_words(tokenizer, words, max_length=max_length)
    return window


def pieces_of(tokenizer, words):
    """The pieces of each word, as the alignment says."""
    window = one(tokenizer, words)
    pieces = tokenizer.convert_ids_to_tokens(window["input_ids"])
    found = [[] for _ in words]
    for piece, word in zip(pieces, window["word_ids"], strict=True):
        if word >= 0:
            found[word].append(piece)
    return found


# Alignment


def test_words_become_one_piece_or_many(bert):
    assert pieces_of(bert, ["the", "unbreakable", "city"]) == [["the"], ["un", "##break", "##able"], ["city"]]


def test_special_pieces_belong_to_no_word(bert):
    assert one(bert, ["the", "city"])["word_ids"] == [-1, 0, 1, -1]


def test_a_word_that_becomes_no_piece_gets_the_unknown_one(bert):
    assert pieces_of(bert, ["the", "\u200b", "\u00a0", "city"]) == [["the"], ["[UNK]"], ["[UNK]"], ["city"]]


def test_a_row_of_nothing_but_such_words_is_encoded_too(bert):
    window = one(bert, ["\u200b", "\u200b"])
    assert window == {"input_ids": [2, 1, 1, 3], "word_ids": [-1, 0, 1, -1]}


def test_the_alignment_of_odd_words_is_that_of_the_tokenizer_itself(scratch):
    window, expected = one(scratch, ODD), scratch(ODD, is_split_into_words=True)
    assert window["input_ids"] == expected["input_ids"]
    assert window["word_ids"] == [-1 if word is None else word for word in expected.word_ids(0)]


@pytest.mark.parametrize("seed", range(20))
def test_the_alignment_of_random_unicode_is_that_of_the_tokenizer_itself(scratch, seed):
    rng = np.random.default_rng(seed)
    blocks = [(0x21, 0x7F), (0xC0, 0x250), (0x4E00, 0x4E80), (0x1F600, 0x1F640)]
    words = []
    for _ in range(30):
        low, high = blocks[rng.integers(len(blocks))]
        words.append("".join(map(chr, rng.integers(low, high, size=rng.integers(1, 9)))))
    expected = scratch(words, is_split_into_words=True)
    window = one(scratch, words, max_length=10_000)
    assert window["input_ids"] == expected["input_ids"]
    assert window["word_ids"] == [-1 if word is None else word for word in expected.word_ids(0)]


@pytest.mark.parametrize("name", ["scratch", "bert"])
def test_every_word_has_a_piece_and_they_come_in_order(request, name):
    row = [*ODD, "[SEP]", "the", ""]
    words = [word for word in one(request.getfixturevalue(name), row)["word_ids"] if word >= 0]
    assert words == sorted(words)
    assert set(words) == set(range(len(row)))


# Long rows


def joined(windows):
    """What each word of a row became, over its windows."""
    found, before = {}, 0
    for window in windows:
        for piece, word in zip(window["input_ids"], window["word_ids"], strict=True):
            if word >= 0:
                found.setdefault(before + word, []).append(piece)
        before += max(window["word_ids"]) + 1
    return found


@pytest.mark.parametrize("max_length", [3, 4, 7, 16, 33, 64])
def test_each_word_of_a_long_row_belongs_to_one_window(bert, max_length):
    words = ["the", "city", "\u200b", "day's", "the"] * 20
    windows = encode_words(bert, words, max_length=max_length)
    assert all(len(window["input_ids"]) <= max_length for window in windows)
    whole = joined([one(bert, words, max_length=10_000)])
    found = joined(windows)
    assert list(found) == list(range(len(words)))
    assert all(found[word] == whole[word][: len(found[word])] for word in found)
    assert found == whole or any("truncated" in window for window in windows)


def test_a_window_sees_the_neighbours_of_its_words(bert):
    words = ["the", "city"] * 20
    first, second, *_ = encode_words(bert, words, max_length=18)
    assert first["word_ids"] == [-1, *range(8), *[-1] * 9]
    assert second["word_ids"] == [-1, *[-1] * 4, *range(8), *[-1] * 5]
    assert second["input_ids"] == [2, *[5, 6] * 8, 3]


def test_a_word_longer_than_its_window_keeps_its_beginning_and_says_so(bert):
    windows = encode_words(bert, ["the", "unbreakable" + "able" * 20, "city"], max_length=12)
    assert joined(windows) == {0: [5], 1: [7, 8, *[9] * 8], 2: [6]}
    assert ["truncated" in window for window in windows] == [False, True, False]


def test_words_of_windows_are_joined_to_rows():
    values = torch.tensor([[1, 2, 3], [4, 0, 0], [5, 6, 0]])
    word_ids = torch.tensor([[-1, 0, 1, 1, 2, -1], [-1, 0, -1, -1, -1, -1], [-1, 0, 0, 1, -1, -1]])
    assert words_of_rows(values, word_ids, None) == [[1, 2, 3], [4], [5, 6]]
    assert words_of_rows(values, word_ids, np.array([0, 1, 0])) == [[1, 2, 3, 5, 6], [4]]


# Pooling


def states():
    hidden = torch.from_numpy(np.random.default_rng(13).normal(size=(2, 6, 4)).astype(np.float32))
    return hidden, torch.tensor([[-1, 0, 1, 1, 1, -1], [-1, -1, 0, 0, 1, 2]])


def test_the_mean_of_a_words_pieces():
    hidden, word_ids = states()
    pooled = pool_words(hidden, word_ids)
    rows = hidden.numpy()
    np.testing.assert_allclose(pooled[0, :2], [rows[0, 1], rows[0, 2:5].mean(axis=0)], rtol=1e-5)
    np.testing.assert_allclose(pooled[1], [rows[1, 2:4].mean(axis=0), rows[1, 4], rows[1, 5]], rtol=1e-5)


def test_the_first_of_a_words_pieces():
    hidden, word_ids = states()
    pooled = pool_words(hidden, word_ids, "first")
    torch.testing.assert_close(pooled[0, :2], hidden[0, [1, 2]])
    torch.testing.assert_close(pooled[1], hidden[1, [2, 4, 5]])


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_padding_and_other_rows_change_no_word(pooling):
    hidden, word_ids = states()
    alone = pool_words(hidden[:1], word_ids[:1], pooling)
    more = torch.cat([hidden, torch.full((2, 3, 4), 9.0)], dim=1)
    padded = pool_words(more, torch.cat([word_ids, torch.full((2, 3), -1)], dim=1), pooling)
    torch.testing.assert_close(padded[0, :2], alone[0])
    assert not padded[0, 2:].any()


def test_gradients_reach_the_pieces_of_words_only():
    hidden, word_ids = states()
    hidden.requires_grad_()
    pool_words(hidden, word_ids).sum().backward()
    assert (hidden.grad.abs().sum(dim=-1) > 0).equal(word_ids >= 0)

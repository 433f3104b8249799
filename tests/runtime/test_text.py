from __future__ import annotations

import pytest
import torch

from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.text import encode_text, pad_inputs

TEXTS = ["the card has not arrived yet", "where is my card", "it rains"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS, 300)


def encoded(tokenizer, *texts, max_length=64):
    return [encode_text(tokenizer, text, max_length=max_length) for text in texts]


@pytest.mark.parametrize("side", ["right", "left"])
def test_rows_are_padded_as_the_tokenizer_itself_would(tokenizer, side):
    tokenizer.padding_side = side
    found = pad_inputs(encoded(tokenizer, *TEXTS[:3]), tokenizer)
    wanted = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    tokenizer.padding_side = "right"
    assert found.keys() == {"input_ids", "attention_mask"}
    assert torch.equal(found["input_ids"], wanted["input_ids"])
    assert torch.equal(found["attention_mask"], wanted["attention_mask"])


@pytest.mark.parametrize("side", ["right", "left"])
def test_what_the_mask_keeps_is_the_text(tokenizer, side):
    tokenizer.padding_side = side
    found = pad_inputs(encoded(tokenizer, *TEXTS[:3]), tokenizer)
    tokenizer.padding_side = "right"
    kept = [ids[mask.bool()] for ids, mask in zip(found["input_ids"], found["attention_mask"], strict=True)]
    assert [tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in kept] == TEXTS[:3]


def test_a_long_text_is_cut_and_says_so(tokenizer):
    [whole] = encoded(tokenizer, TEXTS[0])
    assert "truncated" not in whole
    length = len(whole["input_ids"])
    [cut] = encoded(tokenizer, TEXTS[0], max_length=length - 1)
    assert cut["truncated"] is True
    assert len(cut["input_ids"]) == length - 1
    assert cut["input_ids"][-1] == whole["input_ids"][-1]  # the closing special token is kept
    [exact] = encoded(tokenizer, TEXTS[0], max_length=length)
    assert exact == whole


def test_a_pair_shares_its_room_and_says_which_text_a_token_is_of(tokenizer):
    whole = encode_text(tokenizer, TEXTS[0], TEXTS[1], max_length=64)
    cut = encode_text(tokenizer, TEXTS[0], TEXTS[1], max_length=8)
    assert (len(cut["input_ids"]), cut["truncated"]) == (8, True)
    padded = pad_inputs([whole, cut], tokenizer)
    assert padded["token_type_ids"][0].tolist() == sorted(padded["token_type_ids"][0].tolist())
    assert padded["token_type_ids"][0].sum() == len(tokenizer(TEXTS[1])["input_ids"]) - 1  # without the opening token
    assert padded["token_type_ids"][1, 8:].sum() == 0


def test_one_row_needs_no_padding(tokenizer):
    [one] = encoded(tokenizer, "it rains")
    found = pad_inputs([one], tokenizer)
    assert found["attention_mask"].all()
    assert found["input_ids"].tolist() == [list(one["input_ids"])]

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from transformers import AutoTokenizer, BertTokenizer

from scaffold.errors import ArtefactError, DataError, EnvironmentFault
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state, train_tokenizer

TEXTS = ["My card has not arrived", "my card was swallowed", "Where is my card?", "the café is closed"] * 3
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_the_same_texts_give_the_same_tokenizer_in_every_process():
    program = (
        "from scaffold.runtime.encoders.tokenizers import train_tokenizer;"
        "words = [f'word{i % 97} and {i % 31}ing or {i * i % 1009}' for i in range(3000)];"
        "print(train_tokenizer(words, 900).backend_tokenizer.to_str())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(json.loads(outputs[0])["model"]["vocab"]) > 600


def test_a_text_and_a_pair_are_framed_by_special_tokens_and_numbered_by_segment():
    tokenizer = train_tokenizer(TEXTS)
    pair = tokenizer("my card", "the café")
    tokens = tokenizer.convert_ids_to_tokens(pair["input_ids"])
    middle = tokens.index("[SEP]")
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    assert pair["token_type_ids"] == [0] * (middle + 1) + [1] * (len(tokens) - middle - 1)
    assert tokenizer.convert_ids_to_tokens(tokenizer("my card")["input_ids"])[-1] == "[SEP]"


def test_special_tokens_come_first_and_are_named():
    tokenizer = train_tokenizer(TEXTS)
    assert tokenizer.convert_ids_to_tokens(range(5)) == SPECIAL
    assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id) == (0, 1, 4)


def test_any_text_survives_encoding_and_decoding():
    tokenizer = train_tokenizer(TEXTS)
    text = "Ünïcode, 漢字 and 🙂 were never seen"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids).strip() == text


def test_case_is_kept():
    tokenizer = train_tokenizer(TEXTS)
    assert tokenizer("My card")["input_ids"] != tokenizer("my card")["input_ids"]


def test_both_spellings_of_an_accent_are_one():
    tokenizer = train_tokenizer(TEXTS)
    assert tokenizer("caf\u00e9")["input_ids"] == tokenizer("cafe\u0301")["input_ids"]


def test_offsets_leave_out_the_space_before_a_word():
    tokenizer = train_tokenizer(TEXTS)
    text = "where is my card"
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    pieces = [text[start:end] for start, end in encoded["offset_mapping"]]
    assert "".join(pieces) == text.replace(" ", "")


def test_words_are_known_when_they_come_split():
    tokenizer = train_tokenizer(TEXTS)
    words = tokenizer(["My", "unheard", "card"], is_split_into_words=True).word_ids()
    assert words[0] is None
    assert words[-1] is None
    assert sorted(set(words[1:-1])) == [0, 1, 2]


def test_the_vocabulary_stays_below_its_cap():
    assert len(train_tokenizer((f"token{i} again token{i}" for i in range(500)), vocabulary_size=300)) == 300


def test_at_most_200000_texts_are_read_of_a_stream():
    read = 0

    def stream():
        nonlocal read
        while True:
            read += 1
            yield "the same row"

    train_tokenizer(stream())
    assert read <= 200_001


def test_a_long_sequence_is_sampled_from_beginning_to_end():
    texts = ["early early"] * 200_000 + ["late late"] * 200_000
    vocabulary = train_tokenizer(texts, 400).get_vocab()
    assert {"Ġearly", "Ġlate"} <= set(vocabulary)


def test_no_text_at_all_is_an_error():
    with pytest.raises(DataError, match="no text to train a tokenizer on"):
        train_tokenizer(iter(()))


def test_a_tokenizer_is_the_same_after_a_round_trip_through_json():
    tokenizer = train_tokenizer(TEXTS)
    state = processor_state(tokenizer)
    restored = processor_from_state(json.loads(json.dumps(state)))
    assert restored(TEXTS, TEXTS) == tokenizer(TEXTS, TEXTS)
    assert restored.pad_token == "[PAD]"
    assert processor_state(restored) == state


def test_the_state_of_a_tokenizer_does_not_depend_on_its_last_call():
    tokenizer = train_tokenizer(TEXTS)
    before = processor_state(tokenizer)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=4)
    assert processor_state(tokenizer) == before


def test_a_loaded_tokenizer_keeps_its_class_and_its_settings(tmp_path):
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL, "hello", "world"])}
    BertTokenizer(vocab=vocabulary, model_max_length=7, padding_side="left").save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    restored = processor_from_state(processor_state(loaded))
    assert type(restored) is type(loaded)
    assert (restored.model_max_length, restored.padding_side) == (7, "left")
    assert restored("Hello world") == loaded("Hello world")


def test_a_stored_file_name_cannot_leave_its_folder(tmp_path):
    state = processor_state(train_tokenizer(TEXTS))
    state["files"]["../evil.json"] = "{}"
    with pytest.raises(ArtefactError, match="unsafe to load") as caught:
        processor_from_state(state)
    assert "'../evil.json'" in caught.value.because


@pytest.mark.parametrize("name", ["NoSuchTokenizer", "AutoModel", "os", None])
def test_only_tokenizer_classes_of_transformers_are_rebuilt(name):
    with pytest.raises(EnvironmentFault, match="cannot be kept in a checkpoint"):
        processor_from_state({"class": name, "files": {}})

"""A question with a context of any length becomes windows whose tokens know their characters."""

from __future__ import annotations

import string
from itertools import pairwise

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, PreTrainedTokenizerFast

from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.samples import BadRow
from scaffold.runtime.windows import encode_windows, place_answer

CONTEXT = "The bakery on Mill Street opens at 6 am and closes at 2 pm."
QUESTION = "When does the bakery open?"
AWKWARD = {
    "words": (CONTEXT, "6 am"),
    "umlauts": ("Das Café öffnet um zwölf Uhr früh.", "zwölf Uhr"),
    "an emoji": ("We open at 🕕 six 🥐 each day", "six 🥐"),
    "an emoji of several code points": ("The 👩‍👩‍👧 family comes at 7", "👩‍👩‍👧 family"),
    "combining characters": ("Le cafe\u0301 ouvre a\u0300 midi, voila\u0300.", "a\u0300 midi"),
    "several blanks": ("It opens   at\u00a0 6  am  today", "6  am"),
    "letters beyond the basic plane": ("The 𝒃𝒂𝒌𝒆𝒓𝒚 opens", "𝒃𝒂𝒌𝒆𝒓𝒚"),
    "Chinese": ("面包店早上六点开门，下午两点关门。", "六点"),
    "at the very end": ("Ask for Anna", "Anna"),
    "at the very start": ("Anna bakes", "Anna"),
}


def byte_level():
    return train_tokenizer([CONTEXT, QUESTION] * 3, 400)


def word_piece():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase, *string.digits]
    pieces += [f"##{character}" for character in string.ascii_lowercase + string.digits] + ["the", "bakery", "open"]
    return BertTokenizer(vocab={piece: index for index, piece in enumerate(pieces)})


def sentence_piece():
    """A tokenizer whose pieces hold the blank before a word, as those of T5 and XLM-R do."""
    letters = sorted(set("".join(context for context, _ in AWKWARD.values()) + QUESTION))
    pieces = [("<unk>", 0.0), ("<cls>", 0.0), ("<pad>", 0.0), ("▁", -1.0), *((letter, -2.0) for letter in letters)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="$A <cls>", pair="$A $B:1 <cls>:1", special_tokens=[("<cls>", 1)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, cls_token="<cls>", pad_token="<pad>", unk_token="<unk>")


TOKENIZERS = {"byte level": byte_level, "word pieces": word_piece, "pieces with blanks": sentence_piece}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def text_at(context: str, window: dict) -> str:
    """Return the text between the first and the last token of an answer."""
    start = window["offsets"][window["start_positions"], 0]
    return context[start : window["offsets"][window["end_positions"], 1]]


@pytest.mark.parametrize("name", AWKWARD)
def test_an_answer_comes_back_exactly_from_the_characters_of_its_tokens(name, tokenizer):
    context, answer = AWKWARD[name]
    start = context.index(answer)
    windows = encode_windows(tokenizer, QUESTION, context, max_length=256, stride=0)
    place_answer(windows, (start, start + len(answer)), tokenizer)
    [window] = windows
    found = text_at(context, window)
    # a tokenizer that takes a run of letters as one piece cannot cut it
    assert answer in found if name == "Chinese" else found.strip() == answer


def test_only_the_context_and_one_place_for_none_may_hold_an_answer():
    tokenizer = byte_level()
    [window] = encode_windows(tokenizer, QUESTION, CONTEXT, max_length=256, stride=0)
    allowed, inside = window["context_mask"], window["offsets"][:, 1] > 0
    assert window["input_ids"][allowed & ~inside].tolist() == [tokenizer.cls_token_id]
    assert (window["token_type_ids"][inside] == 1).all()
    assert tokenizer.decode(window["input_ids"][inside]).strip() == CONTEXT


def test_windows_cover_the_context_share_tokens_and_repeat_the_question():
    tokenizer = byte_level()
    context = " ".join(f"word{number}" for number in range(200))
    windows = encode_windows(tokenizer, QUESTION, context, max_length=64, stride=10)
    assert all(len(window["input_ids"]) <= 64 for window in windows)
    parts = [window["input_ids"][window["token_type_ids"] == 1][:-1].tolist() for window in windows]
    assert all(left[-10:] == right[:10] for left, right in pairwise(parts))
    assert parts[0] + [piece for part in parts[1:] for piece in part[10:]] == tokenizer(context)["input_ids"][1:-1]
    whole = tokenizer(QUESTION)["input_ids"]
    assert all(window["input_ids"][: len(whole)].tolist() == whole for window in windows)
    assert all(window["input_ids"][-1] == tokenizer.sep_token_id for window in windows)


def test_an_answer_is_placed_in_every_window_that_has_all_of_it_and_nowhere_else():
    tokenizer = byte_level()
    context = " ".join(f"word{number}" for number in range(100))
    start = context.index("word57")
    windows = encode_windows(tokenizer, QUESTION, context, max_length=64, stride=16)
    place_answer(windows, (start, start + 6), tokenizer)
    null = [window["input_ids"].tolist().index(tokenizer.cls_token_id) for window in windows]
    for window, none in zip(windows, null, strict=True):
        if window["start_positions"] == none:
            assert window["end_positions"] == none
            spans = window["offsets"][window["offsets"][:, 1] > 0]
            assert not (spans[0, 0] <= start and start + 6 <= spans[-1, 1])
        else:
            assert text_at(context, window) == "word57"
    assert 0 < sum(window["start_positions"] != none for window, none in zip(windows, null, strict=True)) < len(windows)


def test_without_an_answer_every_window_points_at_the_place_for_none(tokenizer):
    windows = encode_windows(tokenizer, QUESTION, CONTEXT * 3, max_length=64, stride=16)
    place_answer(windows, None, tokenizer)
    for window in windows:
        assert window["start_positions"] == window["end_positions"]
        assert window["input_ids"][window["start_positions"]] == tokenizer.cls_token_id


def test_a_question_that_leaves_no_room_is_cut_and_says_so():
    tokenizer = byte_level()
    windows = encode_windows(tokenizer, "why " * 100, CONTEXT, max_length=32, stride=4)
    assert windows[0]["truncated"] is True
    assert all(len(window["input_ids"]) <= 32 for window in windows)
    ends = [window["offsets"][:, 1].max() for window in windows]
    assert ends[-1] == len(CONTEXT)


def test_what_a_tokenizer_cannot_read_is_a_bad_row():
    tokenizer = word_piece()
    with pytest.raises(BadRow, match="expected a context that the tokenizer can read, got '\\\\u200d'"):
        encode_windows(tokenizer, QUESTION, "\u200d", max_length=32, stride=0)
    windows = encode_windows(tokenizer, QUESTION, "open \u200d now", max_length=32, stride=0)
    with pytest.raises(BadRow, match="expected an answer that the tokenizer can read"):
        place_answer(windows, (5, 6), tokenizer)

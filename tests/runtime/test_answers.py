"""The best stretch of a context over all its windows, how answers are measured, and how rows give them."""

from __future__ import annotations

import json
import random
import re
import string
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from scaffold.errors import DataError
from scaffold.runtime import Batch, QAOutput, Sample, SquadJson, encode_windows, pad_inputs
from scaffold.runtime.answers import AnswerScores, are_whole_words, find_answers
from scaffold.runtime.encoders.tokenizers import train_tokenizer
from scaffold.runtime.reading import formats
from scaffold.runtime.reading.formats import Schema
from scaffold.runtime.reading.rows import read_rows, stream_rows
from scaffold.runtime.samples import BadRow
from scaffold.runtime.squad import AnswerSample, check_answer, unfold_answers

CONTEXT = "The bakery opens at 6 am and closes at 2 pm."
WORDS = ["a", "an", "the", "red", "Red", "red,", "apple", "pie.", "Pie", "7", "7:30", "café", "CAFÉ", "—", "in"]


# Exact match and F1


def normalized(text: str) -> list[str]:
    """Return the tokens that SQuAD compares, by its own words: lower case, no punctuation, no articles."""
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in text.split() if word not in {"a", "an", "the"}]


def expected(prediction: str, golds: list[str]) -> tuple[float, float]:
    scores = []
    for gold in golds or [""]:
        found, wanted = normalized(prediction), normalized(gold)
        common = sum((Counter(found) & Counter(wanted)).values())
        f1 = 2 * common / (len(found) + len(wanted)) if found and wanted else float(found == wanted)
        scores.append((float(found == wanted), f1))
    return max(score for score, _ in scores), max(score for _, score in scores)


def measured(rows: list[tuple[str, list[str]]], batches: int = 1) -> tuple[float, float]:
    scores = AnswerScores()
    for batch in range(batches):
        part = rows[batch::batches]
        scores.update([text for text, _ in part], [golds for _, golds in part])
    found = scores.compute()
    return found["exact_match"].item(), found["f1"].item()


def test_exact_match_and_f1_are_those_of_an_independent_computation():
    rng = random.Random(5)
    rows = [
        (" ".join(rng.choices(WORDS, k=rng.randint(0, 4))), [" ".join(rng.choices(WORDS, k=rng.randint(1, 4)))] * 1)
        for _ in range(2000)
    ]
    rows = [(text, golds * rng.randint(0, 1) + rng.choices(WORDS, k=rng.randint(0, 2))) for text, golds in rows]
    wanted = np.mean([expected(text, golds) for text, golds in rows], axis=0)
    assert measured(rows) == pytest.approx(tuple(wanted), abs=1e-4)
    assert measured(rows, batches=7) == pytest.approx(tuple(wanted), abs=1e-4)


def test_the_nearest_of_several_right_answers_counts():
    assert measured([("6 in the morning", ["six", "6 in morning!"])]) == (1.0, 1.0)
    assert measured([("9 pm", ["six", "6 pm"])]) == (0.0, 0.5)


def test_no_answer_is_right_exactly_where_there_is_none():
    assert measured([("", [])]) == (1.0, 1.0)
    assert measured([("6 am", []), ("", ["6 am"])]) == (0.0, 0.0)


# The best stretch


@dataclass
class Row(Sample):
    context: str
    question: str


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([CONTEXT, "When does it open?"] * 3, 400)


def batch_of(tokenizer, *contexts: str, max_length: int = 64, stride: int = 16) -> Batch:
    samples = [Row(context, "When does it open?") for context in contexts]
    windows = [
        encode_windows(tokenizer, row.question, row.context, max_length=max_length, stride=stride) for row in samples
    ]
    features = [window for several in windows for window in several]
    owners = np.repeat(np.arange(len(samples)), list(map(len, windows)))
    return Batch(pad_inputs(features, tokenizer), samples, owners, features=features)


def scored(batch: Batch, *wanted: tuple[str, float], none: float = 0.0) -> QAOutput:
    """Return logits that are high at the first and the last token of texts, in every window that has them."""
    start, end = torch.zeros(2, *batch["input_ids"].shape)
    for window, (feature, owner) in enumerate(zip(batch.features, batch.owners, strict=True)):
        first = int(batch["attention_mask"][window].argmax())
        offsets = feature["offsets"]
        null = np.flatnonzero(feature["context_mask"] & (offsets[:, 1] == 0))[0] + first
        start[window, null] = end[window, null] = none / 2
        for text, score in wanted:
            place = batch.samples[owner].context.find(text)
            if place >= 0:
                start[window, first + np.flatnonzero((offsets[:, 1] > place) & (offsets[:, 0] <= place))] = score / 2
                last = np.flatnonzero((offsets[:, 1] >= place + len(text)) & (offsets[:, 0] < place + len(text)))
                end[window, first + last] = score / 2
    return QAOutput(start_logits=start, end_logits=end)


def test_the_best_start_and_end_together_are_the_answer(tokenizer):
    batch = batch_of(tokenizer, CONTEXT)
    [answer] = find_answers(scored(batch, ("6 am", 20)), batch, longest=8)
    assert (answer.value, answer.start, answer.end) == ("6 am", 20, 24)
    assert 0.9 < answer.score <= 1
    assert answer.as_row().keys() == {"prediction", "start", "end", "score"}


def test_an_end_before_the_start_or_too_far_off_is_no_answer(tokenizer):
    batch = batch_of(tokenizer, CONTEXT)
    output = scored(batch, ("6 am", 20))
    output.start_logits, output.end_logits = output.end_logits, output.start_logits  # from "am" to "6"
    [answer] = find_answers(output, batch, longest=8)
    assert answer.value.startswith("am") or answer.value.endswith("6")
    [answer] = find_answers(scored(batch, (CONTEXT, 20)), batch, longest=3)
    assert len(tokenizer(answer.value, add_special_tokens=False)["input_ids"]) <= 3


def test_the_question_and_special_tokens_hold_no_answer(tokenizer):
    batch = batch_of(tokenizer, CONTEXT)
    output = scored(batch, ("6 am", 6))
    outside = batch["context_mask"] == 0
    output.start_logits[outside] = output.end_logits[outside] = 100.0
    [answer] = find_answers(output, batch, longest=8)
    assert answer.value == "6 am"


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("place", [0, 1, 1234, 2500, 4998, 4999])
def test_an_answer_anywhere_in_five_thousand_words_is_found(tokenizer, place, side):
    words = [f"w{number % 89}" for number in range(5000)]
    words[place] = "bakery"
    tokenizer.padding_side = side
    batch = batch_of(tokenizer, " ".join(words), CONTEXT.replace("bakery", "shop"), max_length=256, stride=64)
    tokenizer.padding_side = "right"
    assert len(batch["input_ids"]) > 50
    noise = torch.rand(2, *batch["input_ids"].shape, generator=torch.Generator().manual_seed(place))
    output = scored(batch, ("bakery", 5))
    output.start_logits, output.end_logits = output.start_logits + noise[0], output.end_logits + noise[1]
    answer, other = find_answers(output, batch, longest=30)
    start = len(" ".join(words[:place])) + (place > 0)
    assert (answer.value, answer.start, answer.end) == ("bakery", start, start + 6)
    assert other.value in CONTEXT.replace("bakery", "shop")


def test_a_window_is_searched_even_where_the_model_rules_out_none(tokenizer):
    words = [f"w{number % 89}" for number in range(500)]
    words[321] = "bakery"
    batch = batch_of(tokenizer, " ".join(words))
    [answer] = find_answers(scored(batch, ("bakery", 2), none=-1e9), batch, longest=8)
    assert answer.value == "bakery"


def test_scores_of_a_row_are_probabilities_over_all_its_windows(tokenizer):
    batch = batch_of(tokenizer, " ".join(f"w{number % 89}" for number in range(500)))
    [answer] = find_answers(QAOutput(*torch.zeros(2, *batch["input_ids"].shape)), batch, longest=8, threshold=9.0)
    combined = sum(int(mask.sum()) ** 2 - 1 for mask in batch["context_mask"]) + 1
    assert (answer.value, answer.score) == ("", pytest.approx(1 / combined, rel=1e-6))


def test_candidates_are_listed_best_first_and_each_once(tokenizer):
    batch = batch_of(tokenizer, CONTEXT, " ".join([CONTEXT] * 9))
    for answer in find_answers(scored(batch, ("6 am", 12), ("2 pm", 8)), batch, longest=4, candidates=4):
        assert [one["prediction"] for one in answer.candidates][:2] == ["6 am", "2 pm"]
        assert len({(one["start"], one["end"]) for one in answer.candidates}) == 4
        scores = [one["score"] for one in answer.candidates]
        assert scores == sorted(scores, reverse=True)
        assert (answer.value, answer.score) == (answer.candidates[0]["prediction"], scores[0])


def test_no_answer_is_given_where_none_scores_higher_by_the_threshold(tokenizer):
    batch = batch_of(tokenizer, CONTEXT)
    output = scored(batch, ("6 am", 12), none=10)
    values = [find_answers(output, batch, longest=8, threshold=value)[0].value for value in (1.9, 2.1)]
    assert values == ["6 am", ""]
    [answer] = find_answers(scored(batch, ("6 am", 12), none=20), batch, longest=8)  # a row must have one
    assert answer.value == "6 am"
    [answer] = find_answers(output, batch, longest=8, threshold=3.0)
    assert answer.as_row() == {"prediction": "", "score": pytest.approx(answer.score)}


def test_an_answer_of_whole_words_begins_and_ends_with_one(tokenizer):
    batch = batch_of(tokenizer, "We call it Rubrifying, not more.", "漢字も6時")
    output = scored(batch, ("Rubrifying", 12), ("brify", 20), ("6", 20))
    answers = find_answers(output, batch, longest=16)
    assert [answer.value for answer in answers] == ["brify", "6"]
    answers = find_answers(output, batch, longest=16, whole_words=True)
    assert [answer.value for answer in answers] == ["Rubrifying", "漢字も6時"]


def test_answers_are_whole_words_where_nearly_all_rows_say_so():
    rows = [AnswerSample(CONTEXT, "?", 20, 24), AnswerSample(CONTEXT, "?", 0, 10), AnswerSample(CONTEXT, "?")]
    assert are_whole_words(rows * 60)
    assert are_whole_words([*rows * 60, AnswerSample(CONTEXT, "?", 21, 23)])
    assert not are_whole_words([*rows, AnswerSample(CONTEXT, "?", 21, 23)])
    assert not are_whole_words([AnswerSample("面包店早上六点开门", "?", 5, 7)])
    assert not are_whole_words(rows[2:])


# How rows give answers


@pytest.mark.parametrize(
    "given",
    [
        "6 am|6:00",
        ["6 am", "6:00"],
        [{"text": "6 am", "answer_start": 20}, {"text": "6:00", "answer_start": 0}],
        {"text": ["6 am", "6:00"], "answer_start": [20, 0]},
    ],
)
def test_answers_are_read_as_texts_and_as_squad_writes_them(given):
    found = unfold_answers({"context": CONTEXT, "answers": given})
    assert found["answers"] == ["6 am", "6:00"]
    assert (found.get("answer_start"), found.get("answer_end")) == (
        (20, 24) if "answer_start" in str(given) else (None,) * 2
    )


@pytest.mark.parametrize("given", [{"text": ["6 am"]}, [{"text": "6 am"}, 3], {"text": [6], "answer_start": [1]}])
def test_answers_in_another_shape_are_a_bad_row(given):
    with pytest.raises(BadRow, match="expected answers with a 'text' and a whole number as 'answer_start' each"):
        unfold_answers({"answers": given})


@pytest.mark.parametrize(
    "start, end, answers, message",
    [
        (20, None, None, "expected both answer_start and answer_end, got 20 and None"),
        (40, 99, None, "expected an answer within the 44 characters of the context, got one from 40 to 99"),
        (24, 20, ["6 am"], "got one from 24 to 20; did you mean 20 to 24, where that text is?"),
        (21, 25, ["6 am"], "expected the answer '6 am' at 21 to 25, got ' am '; did you mean 20 to 24"),
        (20, 24, ["7 am"], "expected the answer '7 am' at 20 to 24, got '6 am'; that text is nowhere in the context"),
        (17, 19, ["at "], r"got 'at'; did you mean 17 to 20, where that text is, and again later\?"),
        (
            None,
            None,
            ["6 am"],
            "expected answer_start and answer_end beside the answer '6 am', got none; did you mean 20",
        ),
        (3, 4, None, "expected an answer at 3 to 4, got only ' '"),
    ],
)
def test_an_answer_that_is_not_where_it_says_is_a_bad_row(start, end, answers, message):
    with pytest.raises(BadRow, match=message if "\\" in message else re.escape(message)):
        check_answer(CONTEXT, start, end, answers)


# SQuAD's files


def squad(*questions: dict, version: str = "v2.0") -> dict:
    return {
        "version": version,
        "data": [{"title": "Shops", "paragraphs": [{"qas": list(questions), "context": CONTEXT}]}],
    }


OPEN = {"id": "q1", "question": "When does it open?", "answers": [{"text": "6 am", "answer_start": 20}]}
CLOSE = {"id": "q2", "question": "When does it close?", "answers": [{"text": "2 pm", "answer_start": 39}] * 2}
NONE = {
    "id": "q3",
    "question": "Who bakes?",
    "answers": [],
    "is_impossible": True,
    "plausible_answers": [{"text": "x"}],
}


@pytest.fixture
def squad_file(tmp_path, monkeypatch):
    monkeypatch.setitem(formats.FORMATS, ".json", SquadJson())

    def write(found: object, indent: int | None = 1) -> Path:
        path = tmp_path / "train.json"
        text = found if isinstance(found, str | bytes) else json.dumps(found, indent=indent)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


SCHEMA = Schema(AnswerSample)


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_files_are_read_a_question_a_row(squad_file, indent):
    path = squad_file(squad(OPEN, CLOSE, NONE), indent)
    rows = read_rows([path], SCHEMA)
    assert [(row.question, row.answers, row.answer_start, row.answer_end, row.extra) for row in rows] == [
        ("When does it open?", ["6 am"], 20, 24, {"id": "q1"}),
        ("When does it close?", ["2 pm"], 39, 43, {"id": "q2"}),
        ("Who bakes?", [], None, None, {"id": "q3"}),
    ]
    assert [rows[2], rows[0]] == [*rows][::-2]
    lines = path.read_text(encoding="utf-8").split("\n")
    if indent:
        assert [("question" in lines[row.origin.line - 1]) for row in rows] == [True] * 3
    with path.open("rb") as stream:
        assert list(stream_rows(stream, SCHEMA, kind="json")) == list(rows)


def test_a_bad_question_of_a_squad_file_is_named_with_its_line_and_id(squad_file):
    path = squad_file(squad(OPEN, CLOSE | {"answers": [{"text": "2 pm", "answer_start": 30}]}))
    with pytest.raises(DataError) as found:
        read_rows([path], SCHEMA)
    line = 1 + path.read_text(encoding="utf-8").split("\n").index(
        next(line for line in path.read_text(encoding="utf-8").split("\n") if "close" in line and "question" in line)
    )
    assert str(found.value.where) == f"{path}:{line}"
    assert "expected the answer '2 pm' at 30 to 34, got 'lose'; did you mean 39 to 43" in found.value.because
    assert "(id 'q2')" in found.value.because


@pytest.mark.parametrize(
    "text, because",
    [
        ('{"rows": []}', "expected a list 'data' in the file, got only 'rows'"),
        ('{"data": [1]}', "expected an object as data[0], got 1"),
        ('{"data": [{"paragraphs": [{"qas": 3}]}]}', "expected a list 'qas' in paragraphs[0] of data[0], got 3"),
        (
            '{"data": [{"paragraphs": []}, {"title": "y", "paragraphs": [{"context": "", "qas": []}, {"qas": [{}]}]}]}',
            "expected 'context' in paragraphs[1] of data[1] ('y'), got 'qas'",
        ),
        ('{"data": [{"paragraphs": [{"context": "c", "qas": [7]}]}]}', "as qas[0] of paragraphs[0] of data[0], got 7"),
        ('{"data": [{"title": "x"}]}', "expected a list 'paragraphs' in data[0] ('x'), got only 'title'"),
        ('[{"data": 1}]', "expected a JSON object"),
        ('{"data": ', "expected a JSON object, got text that is none"),
    ],
)
def test_a_file_that_is_none_of_squads_is_refused_as_a_whole(squad_file, text, because):
    with pytest.raises(DataError, match="The file is not as SQuAD's are") as found:
        read_rows([squad_file(text)], SCHEMA)
    assert because in found.value.because
    assert '"paragraphs"' in found.value.fix


WHOLE = json.dumps(squad(OPEN, CLOSE), indent=1)


@pytest.mark.parametrize(
    "content, what, because, line",
    [
        (WHOLE[:300], "not as SQuAD's", "got text that is none: it ends too early", WHOLE[:300].count("\n") + 1),
        (WHOLE.replace('"qas":', '"qas"'), "not as SQuAD's", "Expecting ':' delimiter at column ", 8),
        (f"{WHOLE}\n{WHOLE}", "not as SQuAD's", "Extra data at column 1", WHOLE.count("\n") + 2),
        (WHOLE.encode().replace(b"bakery", b"b\xe9kery"), "is not text", "got 0xe9 at byte ", None),
        (WHOLE.replace("6 am", "6\0am"), "is not text", "a NUL character at byte 20 of the line", None),
        (WHOLE.encode("utf-16"), "looks like UTF-16", "it begins with", None),
        (b"\x1f\x8b\x08\x00\xff", "is compressed", "", None),
        ("", "holds no rows", "", None),
        (" \n", "holds no rows", "", None),
    ],
)
def test_a_damaged_squad_file_is_refused_with_its_line(squad_file, content, what, because, line):
    with pytest.raises(DataError, match=what) as found:
        read_rows([squad_file(content)], SCHEMA)
    assert because in found.value.because
    assert line is None or found.value.where.line == line


def test_a_squad_file_may_begin_with_a_mark_of_its_encoding(squad_file):
    assert len(read_rows([squad_file("\ufeff" + WHOLE)], SCHEMA)) == 2


def test_a_squad_file_that_changes_while_it_is_read_is_noticed(squad_file):
    rows = read_rows([squad_file(squad(OPEN))], SCHEMA)
    squad_file(squad(OPEN, CLOSE))
    with pytest.raises(DataError, match="changed while it was in use"):
        rows[0]


NONE_FIX = 'mend these lines: a question without an answer has "answers": [], and in SQuAD 2 "is_impossible": true'


@pytest.mark.parametrize(
    "question, because",
    [
        (OPEN | {"is_impossible": True}, "expected no answers where 'is_impossible' is true, got '6 am' (id 'q1')"),
        (
            OPEN | {"is_impossible": False, "answers": {"text": [], "answer_start": []}},
            "expected an answer where 'is_impossible' is false, got none (id 'q1')",
        ),
        ({"id": "q1", "question": "When does it open?"}, "expected 'answers', got none (id 'q1')"),
        (
            OPEN | {"answers": [{"text": "", "answer_start": 0}]},
            "expected the text of every answer, got an empty one (id 'q1')",
        ),
    ],
)
def test_a_question_that_contradicts_itself_is_named_with_its_line_id_and_remedy(squad_file, question, because):
    path = squad_file(squad(CLOSE, question))
    with pytest.raises(DataError) as found:
        read_rows([path], SCHEMA)
    assert "open?" in path.read_text(encoding="utf-8").split("\n")[found.value.where.line - 1]
    assert (found.value.because, found.value.fix) == (because, NONE_FIX)


def test_an_id_of_two_questions_is_named_with_the_line_of_the_first(squad_file):
    with pytest.raises(DataError) as found:
        read_rows([squad_file(squad(OPEN, OPEN, CLOSE | {"id": "q1"}))], SCHEMA)
    line = found.value.because.removeprefix("expected an id of its own, got that of another question, at line ")
    assert 1 < int(line.removesuffix(" (id 'q1')")) < found.value.where.line
    assert found.value.fix == "give every question an id of its own, or leave ids out"


def test_a_question_without_an_id_is_not_mixed_up_with_one_that_is_called_none(squad_file):
    rows = read_rows([squad_file(squad(OPEN | {"id": None}, CLOSE | {"id": "None"}))], SCHEMA)
    assert [row.question for row in rows] == [OPEN["question"], CLOSE["question"]]


def test_questions_that_are_only_asked_need_no_answers_and_no_ids_of_their_own(squad_file):
    asked = {"id": "q1", "question": "When does it open?"}
    path = squad_file(squad(asked, asked | {"question": "Who bakes?"}, NONE | {"answers": OPEN["answers"]}))
    rows = list(stream_rows(path, Schema(AnswerSample, carry=True)))
    assert [row.right for row in rows] == [[], [], []]


def test_figures_are_known_apart_for_questions_with_an_answer_and_without():
    scores = AnswerScores()
    scores.update(["6 am", "at 6 am", "6 am"], [["6 am"], ["6 am"], []])
    scores.update(["", "2 pm"], [[], ["6 am"]])
    details = {name: value.item() for name, value in scores.details().items()}
    assert details == pytest.approx(
        {"exact_match/answerable": 1 / 3, "f1/answerable": (1 + 0.8 + 0) / 3, "exact_match/unanswerable": 1 / 2}
    )
    whole = (3 * details["f1/answerable"] + 2 * details["exact_match/unanswerable"]) / 5
    assert scores.compute()["f1"].item() == pytest.approx(whole)


@pytest.mark.parametrize("right", [["6 am"], []])
def test_questions_of_one_kind_have_no_figures_apart(right):
    scores = AnswerScores()
    scores.update(["6 am"], [right])
    assert scores.details() == {}

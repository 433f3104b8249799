from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime.reading.formats import FORMATS, Format, Schema, register_format
from scaffold.runtime.reading.lines import Line
from scaffold.runtime.reading.readers import find_splits
from scaffold.runtime.reading.rows import Finding, read_rows, stream_rows
from scaffold.runtime.samples import BadRow, Sample


@dataclass
class Tagged(Sample):
    tokens: list[str]
    labels: list[str] | None = None
    target: list[int] | None = None


ENTITIES = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
"""
UNIVERSAL = """# newdoc id = a
# sent_id = a-1
# text = don't # go
1-2\tdon't\t_\t_
1\tdo\tdo\tAUX
2\tn't\tnot\tPART
2.1\tnothing\t_\t_
3\t#\t#\tSYM
4\tgo\tgo\tVERB

# sent_id = a-2
1\tyes\tyes\tINTJ

# the end
"""


@pytest.fixture
def read(tmp_path):
    def rows(text: str, name: str = "a.conll", **options):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return read_rows([path], Schema(Tagged, **options))

    return rows


def pairs(rows):
    return [(row.tokens, row.labels) for row in rows]


def test_tokens_are_the_first_column_and_labels_the_last(read):
    assert pairs(read(ENTITIES)) == [(["EU", "rejects"], ["B-ORG", "O"]), (["Peter"], ["B-PER"])]


def test_rows_know_the_line_on_which_they_begin(read):
    assert [row.origin.line for row in read(ENTITIES)] == [3, 6]


def test_rows_are_read_again_in_any_order(read):
    rows = read(ENTITIES)
    assert pairs([rows[1], rows[0], rows[1]]) == [pairs(rows)[place] for place in (1, 0, 1)]


def test_columns_are_chosen_by_position_and_others_carried_along(read):
    [first, _] = read(ENTITIES, columns={"labels": 2, "pos": 1})
    assert first.labels == ["B-NP", "B-VP"]
    assert first.extra == {"pos": ["NNP", "VBZ"]}


def test_universal_dependencies_are_read_with_their_comments_and_without_multi_word_tokens(read):
    rows = read(UNIVERSAL, "a.conllu")
    assert pairs(rows) == [(["do", "n't", "#", "go"], ["AUX", "PART", "SYM", "VERB"]), (["yes"], ["INTJ"])]


def test_a_hash_is_a_token_where_it_can_be_one(read):
    text = "# O\nwin B-x\n#one O\n\n# id = 3\nno O\n"
    assert pairs(read(text)) == [(["#", "win", "#one"], ["O", "B-x", "O"]), (["no"], ["O"])]
    assert pairs(read("# a comment\n#\tO\nwin\tO\n")) == [(["#", "win"], ["O", "O"])]


def test_files_of_other_systems_are_read_alike(read):
    assert pairs(read(ENTITIES.replace("\n", "\r\n"))) == pairs(read(ENTITIES))
    assert pairs(read("\n \n\n" + ENTITIES.replace("\n\n", "\n \t\n\n") + "\n\n")) == pairs(read(ENTITIES))
    assert pairs(read("\ufeff" + ENTITIES.rstrip("\n"))) == pairs(read(ENTITIES))


def test_spaces_inside_a_token_are_kept_where_tabs_part_the_columns(read):
    assert pairs(read("New York\tB-x\nis\tO\n")) == [(["New York", "is"], ["B-x", "O"])]


def test_one_column_is_tokens_without_labels(read):
    assert pairs(read("play\nit\n\nstop\n")) == [(["play", "it"], None), (["stop"], None)]


def test_a_stream_gives_each_row_or_what_is_wrong_with_it():
    text = io.BytesIO(b"a O\n\nb O\nc\n\nd O\n")
    first, bad, last = stream_rows(text, Schema(Tagged, carry=True), kind="conll")
    assert (first.tokens, last.tokens, last.origin.line) == (["a"], ["d"], 6)
    assert bad == Finding(bad.origin, "expected 2 columns, as in the first line of the row, got 1: 'c'")
    assert bad.origin.line == 4


@pytest.mark.parametrize(
    "text, options, line, message",
    [
        ("a O\nb O\n\nc X O\nd O\n", {}, 5, "expected 3 columns, as in the first line of the row, got 2: 'd O'"),
        ("a O\n", {"columns": {"tokens": 3}}, 1, "expected tokens in column 3 (counted from 0), got rows of 2 columns"),
        ("a O\n", {"columns": {"labels": 7}}, 1, "expected labels in column 7 (counted from 0), got rows of 2 columns"),
        ("# a b\nc X O\n# d = e\nf O\n", {}, 4, "expected 3 columns, as in the first line of the row, got 2: 'f O'"),
        ("a O\n", {"columns": {"pos": 4}}, 1, "expected pos in column 4 (counted from 0), got rows of 2 columns"),
        ("a O\nb\0 O\n", {}, 1, "expected text, got a NUL character at byte 6 of the row"),
        ("aaaa O\n" * 9, {"max_row_bytes": 20}, 1, "expected an empty line after at most 20 bytes, got none"),
    ],
)
def test_a_row_that_cannot_be_read_is_named_with_its_line(read, text, options, line, message):
    with pytest.raises(DataError) as found:
        read(text, **options)
    assert (found.value.where.line, found.value.because) == (line, message)


def test_a_format_that_is_named_reads_files_of_any_name(tmp_path):
    for name in ("train.bio", "dev", ".hidden", "test.csv"):
        (tmp_path / name).write_text("a O\n\nb B-x\n", encoding="utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1.txt").write_text("c O\n", encoding="utf-8")
    (tmp_path / "more" / ".DS_Store").write_bytes(b"\0")
    found = find_splits(tmp_path, kind="conll")
    assert {split: [file.name for file in files] for split, files in found.items()} == {
        "train": ["train.bio"],
        "validation": ["dev"],
        "test": ["test.csv"],
    }
    assert find_splits({"train": tmp_path / "more"}, kind="conll") == {"train": [tmp_path / "more" / "1.txt"]}
    assert pairs(read_rows(found["test"], Schema(Tagged, kind="conll"))) == [(["a"], ["O"]), (["b"], ["B-x"])]
    assert [
        row.tokens for row in stream_rows(found["test"][0], Schema(Tagged, carry=True, kind="csv"), kind="conll")
    ] == [
        ["a"],
        ["b"],
    ]


def test_lines_that_are_joined_are_faulty_where_one_of_them_is():
    first, second = Line(3, 20, b"a O\n"), Line(4, 24, b"b O\n")
    assert Line.joined([first, second]) == Line(3, 20, b"a O\nb O\n")
    assert Line.joined([first, second._replace(fault="too long")]) == Line(3, 20, b"", "too long")


def test_a_byte_that_is_no_text_names_the_row(tmp_path):
    (tmp_path / "a.conll").write_bytes(b"a O\n\nb\xff O\n")
    with pytest.raises(DataError) as found:
        read_rows([tmp_path / "a.conll"], Schema(Tagged))
    assert (found.value.where.line, found.value.because) == (3, "expected UTF-8 text, got 0xff at byte 2 of the row")


def test_a_column_of_ones_own_needs_a_position(read):
    with pytest.raises(ConfigError, match="a CoNLL file has no column called 'upos'") as found:
        read(ENTITIES, columns={"pos": "upos"})
    assert str(found.value.where) == "data.columns.pos"
    assert found.value.fix == "give a position: data.columns.pos=3 is the fourth column"


def test_a_name_is_no_column_in_training(read):
    with pytest.raises(ConfigError, match="a CoNLL file has no column called 'ner'") as found:
        read(ENTITIES, columns={"labels": "ner"})
    assert found.value.because == "its columns have no names, only positions, counted from 0"
    assert found.value.fix == "give a position: data.columns.labels=3 is the fourth column"


def test_a_column_under_its_own_name_is_one_that_was_not_chosen(read):
    assert pairs(read(ENTITIES, columns={"tokens": "tokens", "labels": "labels"})) == pairs(read(ENTITIES))
    assert pairs(read("play\n", columns={"tokens": "tokens", "labels": "labels"})) == [(["play"], None)]


def test_names_that_the_files_of_training_had_say_nothing_of_rows_to_predict(read):
    assert pairs(read(ENTITIES, columns={"tokens": "words", "labels": "tags"}, carry=True)) == pairs(read(ENTITIES))


def test_rows_to_predict_need_not_have_the_column_of_labels(read):
    assert pairs(read("a\nb\n", columns={"labels": 3}, carry=True)) == [(["a", "b"], None)]


# A project's own format


class Slashed(Format):
    """`word/LABEL word/LABEL`"""

    def values(self, text):
        parts = [word.rpartition("/") for word in text.split(" ")]
        if not all(slash for _, slash, _ in parts):
            raise BadRow(f"expected word/LABEL, got {text!r}")
        return {"tokens": [word for word, _, _ in parts], "labels": [label for _, _, label in parts]}


@pytest.fixture
def slashed():
    register_format("slashed", Slashed())
    yield
    del FORMATS[".slashed"]


def test_a_project_registers_a_format_with_one_method(slashed, tmp_path):
    (tmp_path / "train.slashed").write_text("play/O 1/2/B-x\nstop/O\n", encoding="utf-8")
    rows = read_rows(find_splits(tmp_path)["train"], Schema(Tagged))
    assert pairs(rows) == [(["play", "1/2"], ["O", "B-x"]), (["stop"], ["O"])]


def test_what_such_a_format_refuses_is_named_with_file_and_line(slashed, tmp_path):
    path = tmp_path / "a.slashed"
    path.write_text("play/O\nit\n", encoding="utf-8")
    with pytest.raises(DataError) as found:
        read_rows([path], Schema(Tagged))
    assert (found.value.where.line, found.value.because) == (2, "expected word/LABEL, got 'it'")


@pytest.mark.parametrize(
    "name, hint", [("lables", "; is 'labels' meant?"), ("origin_file", "")], ids=["misspelt", "unknown"]
)
def test_a_name_that_is_none_of_ours_is_told(name, hint, slashed, tmp_path, monkeypatch):
    monkeypatch.setattr(Slashed, "values", lambda _, text: {"tokens": text.split(), name: ["O"]})
    (tmp_path / "a.slashed").write_text("play\n", encoding="utf-8")
    with pytest.raises(DataError) as found:
        read_rows([tmp_path / "a.slashed"], Schema(Tagged))
    assert found.value.because == f"expected Slashed to give tokens, labels, target, got '{name}' too{hint}"
    [row] = read_rows([tmp_path / "a.slashed"], Schema(Tagged, carry=True))
    assert row.extra == {name: ["O"]}


def test_the_row_in_which_such_a_format_fails_is_told(slashed, tmp_path, monkeypatch):
    monkeypatch.setattr(Slashed, "values", lambda _, text: {"tokens": [text], "labels": [str(int(text))]})
    path = tmp_path / "a.slashed"
    path.write_text("1\nx\n", encoding="utf-8")
    with pytest.raises(ValueError, match="invalid literal") as found:
        read_rows([path], Schema(Tagged))
    assert found.value.__notes__ == [f"while reading {path}:2"]
    with pytest.raises(ValueError, match="invalid literal") as found:
        list(stream_rows(path, Schema(Tagged)))
    assert found.value.__notes__ == [f"while reading {path}:2"]


def test_a_format_that_says_nothing_of_its_rows_says_so():
    with pytest.raises(NotImplementedError, match="Format must write `values`, or a `decoder` that does without"):
        Format().decoder(Schema(Tagged), None, "a")(b"x")


def test_the_folder_layout_knows_the_suffixes(tmp_path):
    for name in ("train.conll", "dev.conllu"):
        (tmp_path / name).write_text("a O\n", encoding="utf-8")
    assert find_splits(tmp_path) == {"train": [tmp_path / "train.conll"], "validation": [tmp_path / "dev.conllu"]}

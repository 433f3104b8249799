"""Samples: from values by name to typed fields, or one clear finding."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from scaffold.runtime.samples import BadRow, Origin, Sample


@dataclass
class Text(Sample):
    text: str
    label: str | None = None


@dataclass
class Tagged(Sample):
    tokens: list[str]
    tags: list[str] | None = None

    def check(self) -> None:
        if self.tags is not None and len(self.tags) != len(self.tokens):
            raise BadRow(f"expected {len(self.tokens)} tags, got {len(self.tags)}")


@dataclass
class Mixed(Sample):
    label: str | list[str] | float | None = None
    count: int = 0
    score: float = 0.0
    sure: bool = False


def test_fields_are_filled_by_name_and_others_go_to_extra():
    sample = Text.parse({"label": "good", "id": 7, "text": "hello"})
    assert sample == Text(text="hello", label="good", extra={"id": 7})


def test_a_row_for_output_holds_the_fields_and_what_the_input_had_besides():
    assert Text.parse({"text": "a", "id": 7}).as_row() == {"text": "a", "label": None, "id": 7}


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_optional_field_is_absent(blank):
    assert Text.parse({"text": "a", "label": blank}) == Text(text="a")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "expected a value in 'text', got nothing"),
        ({"text": None}, "expected a value in 'text', got nothing"),
        ({"text": " \t"}, "expected a value in 'text', got the empty text ' \\t'"),
        ({"text": 3}, "expected a text in 'text', got 3"),
        ({"text": "a", "label": ["x"]}, "expected a text in 'label', got ['x']"),
    ],
)
def test_a_required_text_that_is_missing_or_none_is_a_finding(fields, message):
    with pytest.raises(BadRow) as caught:
        Text.parse(fields)
    assert str(caught.value) == message


def test_a_list_is_read_from_text_at_spaces_only():
    assert Tagged.parse({"tokens": "a\u00a0b  c\u2028d"}).tokens == ["a\u00a0b", "c\u2028d"]


def test_a_list_is_taken_as_it_is_and_its_items_are_checked():
    assert Tagged.parse({"tokens": ["a b", "c"]}).tokens == ["a b", "c"]
    with pytest.raises(BadRow, match="expected a list with a text in every place in 'tokens', got \\['a', 1\\]"):
        Tagged.parse({"tokens": ["a", 1]})
    with pytest.raises(BadRow, match="expected a list in 'tokens', got 5"):
        Tagged.parse({"tokens": 5})


def test_a_samples_own_check_sees_fields_together():
    with pytest.raises(BadRow, match="expected 2 tags, got 1"):
        Tagged.parse({"tokens": "a b", "tags": "X"})


def test_a_union_keeps_text_as_text_and_takes_what_json_gives():
    assert Mixed.parse({"label": "3.5"}).label == "3.5"
    assert Mixed.parse({"label": 3.5}).label == 3.5
    assert Mixed.parse({"label": ["a", "b"]}).label == ["a", "b"]


def test_numbers_are_read_from_text():
    sample = Mixed.parse({"count": "12", "score": "-1e-3", "sure": "true"})
    assert (sample.count, sample.score, sample.sure) == (12, -0.001, True)


@pytest.mark.parametrize("value", ["x", "1.5", 1.5, True, "1_000", "٣", [1], "9" * 5000])
def test_what_is_no_whole_number_is_a_finding(value):
    with pytest.raises(BadRow, match="expected a whole number in 'count', got"):
        Mixed.parse({"count": value})


@pytest.mark.parametrize("value", ["x", "nan", "inf", "1e999", float("nan"), True, "1_0", 10**400])
def test_what_is_no_finite_number_is_a_finding(value):
    with pytest.raises(BadRow, match="expected a finite number in 'score', got"):
        Mixed.parse({"score": value})


@pytest.mark.parametrize("value", ["yes", 1, 0])
def test_what_is_neither_true_nor_false_is_a_finding(value):
    with pytest.raises(BadRow, match="expected true or false in 'sure', got"):
        Mixed.parse({"sure": value})


def test_a_union_names_all_that_it_would_take():
    with pytest.raises(BadRow, match=r"expected a text or a finite number or a list in 'label', got \{\}"):
        Mixed.parse({"label": {}})


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(BadRow) as caught:
        Mixed.parse({"count": "x" * 10_000})
    assert len(str(caught.value)) < 300


def test_an_annotation_that_cannot_be_read_is_named():
    @dataclass
    class Odd(Sample):
        when: tuple[int, int]

    with pytest.raises(TypeError, match="Expected the field 'when' of Odd to be annotated with"):
        Odd.parse({"when": (1, 2)})


def test_the_origin_says_file_and_line_and_does_not_make_samples_differ():
    assert str(Origin("train.tsv", 3)) == "train.tsv:3"
    assert Text(text="a", origin=Origin("train.tsv", 3)) == Text(text="a")


def test_fields_are_listed_in_the_order_of_columns():
    assert Text.field_names() == ("text", "label")
    assert Text.required_fields() == ("text",)

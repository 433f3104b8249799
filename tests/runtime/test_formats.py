"""TSV, CSV and JSONL: the same rows whatever the encoding's accidents, and a finding with its line for every fault."""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass
from typing import ClassVar

import pytest

from scaffold.errors import ConfigError, DataError
from scaffold.runtime.reading.formats import FORMATS, Format, Schema, Tsv, format_of, register_format
from scaffold.runtime.reading.rows import read_rows
from scaffold.runtime.samples import Sample


@dataclass
class Text(Sample):
    text: str
    label: str | None = None


@pytest.fixture
def read(tmp_path):
    """Return what writes bytes or text to a file and reads its rows."""

    def write_and_read(content, suffix="tsv", on_bad_row="error", **schema):
        path = tmp_path / f"train.{suffix}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_rows([path], Schema(Text, **schema), on_bad_row)

    return write_and_read


def pairs(rows):
    return [(row.text, row.label) for row in rows]


def findings(read, *arguments, **options):
    with pytest.raises(DataError) as caught:
        read(*arguments, **options)
    error = caught.value
    lines = error.details or (f"{error.where}: {error.because}",)
    return [line.rpartition("train.")[2].partition(":")[2] for line in lines]


GOOD = [("a b", "x"), ("c\u2028d\u0085e\x0bf", "y"), ("g", None)]
CLEAN = {
    "tsv": "a b\tx\nc\u2028d\u0085e\x0bf\ty\ng\n",
    "csv": "text,label\na b,x\nc\u2028d\u0085e\x0bf,y\ng,\n",
    "jsonl": '{"text": "a b", "label": "x"}\n{"text": "c\u2028d\u0085e\\u000bf", "label": "y"}\n{"text": "g"}\n',
}


@pytest.mark.parametrize("suffix", CLEAN)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text,
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.removesuffix("\n"),
        lambda text: text + "\n\n\r\n",
        lambda text: "\ufeff" + text.replace("\n", "\r\n").removesuffix("\r\n"),
    ],
    ids=["clean", "bom", "crlf", "no-final-newline", "empty-lines-at-the-end", "bom-crlf-no-newline"],
)
def test_accidents_of_encoding_do_not_change_the_rows(read, suffix, spoil):
    rows = read(spoil(CLEAN[suffix]), suffix)
    assert pairs(rows) == GOOD
    assert pairs([rows[i] for i in (2, 0, 1)]) == [GOOD[i] for i in (2, 0, 1)]


@pytest.mark.parametrize("suffix", CLEAN)
def test_an_empty_line_between_rows_is_a_finding(read, suffix):
    lines = CLEAN[suffix].split("\n")
    place = 3 if suffix == "csv" else 2
    lines.insert(place - 1, "")
    assert findings(read, "\n".join(lines), suffix) == [f"{place}: expected a row, got an empty line"]


@pytest.mark.parametrize("suffix", CLEAN)
def test_a_nul_and_bytes_that_are_no_text_are_found_with_their_place(read, suffix):
    head = b"text,label\n" if suffix == "csv" else b""
    lines = {
        "tsv": b"ok\tx\na\0b\ty\nc\xffd\tz\n",
        "csv": b"ok,x\na\0b,y\nc\xffd,z\n",
        "jsonl": b'{"text":"ok"}\n{"text":"\0"}\n{"text":"\xff"}\n',
    }[suffix]
    first = 3 if head else 2
    place = 10 if suffix == "jsonl" else 2
    assert findings(read, head + lines, suffix) == [
        f"{first}: expected text, got a NUL character at byte {place} of the row",
        f"{first + 1}: expected UTF-8 text, got 0xff at byte {place} of the row",
    ]


@pytest.mark.parametrize("suffix", CLEAN)
def test_a_row_over_the_limit_is_a_finding_and_the_next_one_is_read(read, suffix):
    head = "text,label\n" if suffix == "csv" else ""
    row = {"tsv": "%s\tx\n", "csv": "%s,x\n", "jsonl": '{"text": "%s", "label": "x"}\n'}[suffix]
    rows = read(head + row % ("y" * 5000) + row % "ok", suffix, "skip", max_row_bytes=100)
    assert pairs(rows) == [("ok", "x")]
    (finding,) = rows.skipped
    size = len(row % ("y" * 5000))
    assert finding.message == f"expected a row of at most 100 bytes, got {size:,}"


def test_a_bom_before_a_row_at_the_limit_does_not_cut_it(read):
    for length in range(90, 102):
        assert pairs(read("\ufeff" + "y" * length + "\nok\n", max_row_bytes=102)) == [
            ("y" * length, None),
            ("ok", None),
        ]


# TSV


def test_tsv_takes_quotes_and_commas_as_they_are(read):
    assert pairs(read('"a, b\tx"\n')) == [('"a, b', 'x"')]


def test_a_tsv_row_of_another_width_is_a_finding(read):
    assert findings(read, "a\tx\nb\tx\ty\n") == ["2: expected 1 to 2 columns (text, label), got 3"]
    assert findings(read, "a\tx\nb\n", required=("label",)) == ["2: expected 2 columns (text, label), got 1"]


@pytest.mark.parametrize(
    "header", ["text\tlabel", "Text\tLABEL ", '"text"\t"label"', "sentence\tlabel", "id\ttext\tlabel"]
)
def test_a_header_in_tsv_is_a_finding_wherever_it_stands(read, header):
    columns = {"id": 0, "text": 1, "label": 2} if "id" in header else {}
    row = "7\ta\tx\n" if columns else "a\tx\n"
    names = ", ".join(repr(name) for name in header.split("\t"))
    found = findings(read, f"{header}\n{row}{header}\n", columns=columns)
    assert found == [f"{line}: expected a row, got the header {names}: a TSV file has none" for line in (1, 3)]


@pytest.mark.parametrize("line", ["label\tx", "text", "the text\tlabel", "class\tcategory"])
def test_words_that_are_names_of_columns_may_stand_in_rows(read, line):
    assert len(read(f"{line}\n")) == 1


def test_an_empty_value_at_the_end_of_a_row_that_is_too_long_is_named(read):
    assert findings(read, "a\tx\t\n") == ["1: expected 1 to 2 columns (text, label), got 3, the last one empty"]


def test_a_required_field_may_not_be_blank(read):
    assert findings(read, "a\tx\nb\t\n", required=("label",)) == ["2: expected a value in 'label', got nothing"]


def test_a_list_that_is_parted_by_tabs_is_told_what_parts_it(tmp_path):
    @dataclass
    class Tagged(Sample):
        tokens: list[str]
        labels: list[str]
        target: list[int] | None = None

    (tmp_path / "train.tsv").write_text("a b\tO\tO\n")
    with pytest.raises(DataError) as caught:
        read_rows([tmp_path / "train.tsv"], Schema(Tagged))
    assert caught.value.because.endswith("in 'target', got 'O'; the columns are tokens, labels, target")
    assert caught.value.fix == "part the items of a list by blanks, not by what parts the columns"


def test_tsv_columns_can_be_named_by_position(read):
    rows = read("7\tx\ta\n", columns={"id": 0, "label": 1})
    assert pairs(rows) == [("a", "x")]
    assert rows[0].extra == {"id": "7"}


def test_fields_without_a_position_fill_the_free_columns(read):
    assert pairs(read("x\ta\n", columns={"label": 0})) == [("a", "x")]


@pytest.mark.parametrize(
    ("columns", "because"),
    [
        ({"label": 3}, "expected a name for every column up to 3, got none for 1, 2"),
        ({"label": -1}, "expected the position of a column in the file, from 0, got -1"),
        ({"text": 0, "label": 0}, "expected the position of a column in the file, from 0, got one position twice"),
    ],
)
def test_tsv_columns_that_cannot_be_told_apart_are_a_configuration_error(read, columns, because):
    with pytest.raises(ConfigError) as caught:
        read("a\tx\n", columns=columns)
    assert caught.value.because == because
    assert caught.value.where.key == "data.columns"


# CSV


def test_csv_reads_quotes_commas_and_line_breaks_inside_values(read):
    rows = read('text,label\n"a ""b"", c",x\n"two\n\nlines",y\nplain,z\n', "csv")
    assert pairs(rows) == [('a "b", c', "x"), ("two\n\nlines", "y"), ("plain", "z")]
    assert [rows.origin(i).line for i in range(3)] == [2, 3, 6]
    assert pairs([rows[1], rows[2]]) == [("two\n\nlines", "y"), ("plain", "z")]


def test_csv_columns_may_stand_in_any_order(read):
    assert pairs(read("label,text\nx,a\n", "csv")) == [("a", "x")]


def test_csv_columns_can_have_other_names(read):
    rows = read("utterance,intent,id\na,x,7\n", "csv", columns={"text": "utterance", "label": "intent", "id": "id"})
    assert pairs(rows) == [("a", "x")]
    assert rows[0].extra == {"id": "7"}


@pytest.mark.parametrize(
    ("header", "because"),
    [
        ("label", "expected 'text', 'label', got no 'text' among 'label'"),
        ("texts,label", "expected 'text', 'label', got no 'text' among 'texts', 'label'; is 'texts' meant?"),
        ("text,label,id", "expected 'text', 'label', got 'id' too"),
        ("text,label,label", "expected 'text', 'label', got 'label' twice"),
    ],
)
def test_a_csv_header_with_other_columns_is_an_error_of_the_file(read, header, because):
    with pytest.raises(DataError) as caught:
        read(f"{header}\na,b,c\n", "csv")
    assert caught.value.because == because
    assert caught.value.where.line == 1


@pytest.mark.parametrize(
    ("sign", "name", "fix"),
    [
        (";", "semicolons", "write it with commas"),
        ("|", "bars", "write it with commas"),
        ("\t", "tabs", "write it with commas, or name it .tsv and take its header out"),
    ],
)
def test_a_csv_file_that_is_parted_by_something_else_says_so(read, sign, name, fix):
    with pytest.raises(DataError, match=f"The columns of the file are parted by {name}") as caught:
        read(f"text{sign}label\na{sign}x\n", "csv")
    header = repr(f"text{sign}label")
    assert caught.value.because == f"expected commas, as in every CSV file, got {header}"
    assert (caught.value.fix, caught.value.where.line) == (fix, 1)


def test_a_csv_file_without_a_header_is_told_that_it_needs_one(read):
    with pytest.raises(DataError) as caught:
        read("so dull,poor\nfine,good\n", "csv")
    assert caught.value.fix.endswith("data.columns.text=<column>; a file without a header needs one")


def test_another_name_that_a_column_may_have_is_not_missed_beside_it(read):
    @dataclass
    class Asked(Sample):
        aliases: ClassVar[dict[str, str]] = {"query": "question"}
        question: str
        answer: str

    assert Schema(Asked).missing(Schema(Asked).by_key(), ["query"]) == ["answer"]
    assert Schema(Asked).missing(Schema(Asked).by_key(), ["answer"]) == ["question"]
    renamed = Schema(Asked, columns={"question": "query"})
    assert renamed.missing(renamed.by_key(), ["answer"]) == ["query"]


def test_a_column_must_be_there_when_it_is_required(read):
    with pytest.raises(DataError, match="The header does not name the expected columns"):
        read("text\na\n", "csv", required=("label",))


def test_unnamed_columns_are_carried_along_in_prediction(read):
    assert read("id,text\n7,a\n", "csv", carry=True)[0].extra == {"id": "7"}


def test_a_carried_column_may_not_pass_for_another(read):
    with pytest.raises(DataError) as caught:
        read("text,label,intent\na,b,c\n", "csv", carry=True, columns={"label": "intent"})
    assert caught.value.because.endswith("got 'label' too, which data.columns takes from another column")


def test_a_position_is_no_name_of_a_csv_column(read):
    with pytest.raises(ConfigError) as caught:
        read("text,label\na,b\n", "csv", columns={"label": 1})
    assert caught.value.because == "expected a column's name for each of text, label, got the position 1"


def test_one_column_cannot_have_two_names(read):
    with pytest.raises(ConfigError) as caught:
        read("text,label\na,b\n", "csv", columns={"label": "text"})
    assert caught.value.because.endswith("got one column under two names")


def test_short_and_long_csv_rows_are_findings(read):
    assert findings(read, "text,label\na\nb,x,y\n", "csv") == [
        "2: expected 2 columns (text, label), got 1",
        "3: expected 2 columns (text, label), got 3",
    ]


def test_a_quote_that_is_never_closed_is_named_by_its_line_and_swallows_no_row(read):
    content = 'text,label\na,x\n"b,x\nc,x\nd,x\n'
    assert findings(read, content, "csv") == ["3: expected a quote that ends the value begun here, got none"]
    rows = read(content, "csv", "skip")
    assert pairs(rows) == [("a", "x"), ("c", "x"), ("d", "x")]


def test_a_quote_that_is_not_closed_within_the_limit_swallows_no_row(read):
    rows = read('text,label\n"a,x\n' + "b,x\n" * 100, "csv", "skip", max_row_bytes=50)
    assert (len(rows), len(rows.skipped)) == (100, 1)


def test_a_stray_quote_is_a_finding_and_swallows_no_row(read):
    rows = read('text,label\n5" pipe,x\nb,x\n6" pipe,x\nc,x\n"d"e,x\n', "csv", "skip")
    assert pairs(rows) == [("b", "x"), ("c", "x")]
    assert [finding.origin.line for finding in rows.skipped] == [2, 4, 6]
    assert (
        rows.skipped[0].message
        == "expected quotes around a whole value, and doubled inside it, got '5\" pipe,x\\nb,x\\n6\" pipe,x'"
    )


def test_a_header_that_cannot_be_read_is_an_error_of_the_file(read):
    for header in (b'te"xt,label\n', b"\xff,label\n", b"\ntext,label\n"):
        with pytest.raises(DataError, match="The header cannot be read") as caught:
            read(header + b"a,x\n", "csv")
        assert caught.value.where.line == 1


def test_csv_written_by_python_comes_back_exactly(read):
    draw = random.Random(3)
    for _ in range(40):
        rows = [
            tuple("".join(draw.choices('ab",\n\u2028é\r\t ', k=draw.randint(1, 12))) + "." for _ in range(2))
            for _ in range(draw.randint(1, 8))
        ]
        out = io.StringIO()
        csv.writer(out, lineterminator=draw.choice(["\n", "\r\n"])).writerows([("text", "label"), *rows])
        assert pairs(read(out.getvalue(), "csv")) == rows


# JSONL


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected a JSON object, got text that is none: it ends too early"),
        ('{"text": "a', "expected a JSON object, got text that is none: it ends too early"),
        ('{"text": "a" "b"}', "expected a JSON object, got text that is none: Expecting ',' delimiter at column 14"),
        ('[{"text": "a"},', "expected a JSON object, got text that is none: it begins a list; write its objects one a"),
        ('["a"]', "expected a JSON object, got ['a']"),
        ('{"text": NaN}', "expected a finite number, got NaN"),
        ('{"text": -Infinity}', "expected a finite number, got -Infinity"),
        ('{"text": "a", "label": 1e999}', "expected a finite number, got '1e999'"),
        ('{"text": "a", "text": "b"}', "expected every key once, got 'text' twice"),
        ('{"text": ' + "[" * 100_000, "expected a JSON object, got one that is nested more than 100 deep"),
        (
            '{"text": ' + "[" * 101 + "]" * 101 + "}",
            "expected a JSON object, got one that is nested more than 100 deep",
        ),
        ('{"text": ' + "9" * 5000 + "}", "expected a JSON object, got a number with too many digits in it"),
        ('{"text": "\\ud800"}', "expected text, got half a character, '\\ud800', that no other half follows"),
        ('{"text": "a", "id": 1}', "expected only the keys text, label, got 'id' too"),
        ('{"label": "a"}', "expected the keys text, label, got no 'text'"),
        ('{"text": ["a"]}', "expected a text in 'text', got ['a']"),
        ('{"text": " "}', "expected a value in 'text', got the empty text ' '"),
    ],
)
def test_what_is_no_sound_object_is_a_finding(read, line, message):
    assert findings(read, '{"text": "ok"}\n' + line + "\n", "jsonl")[0].startswith(f"2: {message}")


def test_a_surplus_key_may_be_carried_along_by_the_command_that_is_named(read):
    with pytest.raises(DataError) as caught:
        read('{"text": "a", "domain": "b"}\n' * 3, "jsonl")
    assert caught.value.fix == "carry it along with +data.columns.domain=domain, or take it out of the file"
    with pytest.raises(DataError) as caught:
        read('{"text": "a", "domain": "b"}\n{"text": ""}\n', "jsonl")
    assert caught.value.fix.startswith("mend these lines")


def test_a_whole_character_written_as_two_halves_is_read(read):
    assert pairs(read('{"text": "\\ud83d\\ude00"}\n', "jsonl")) == [("\U0001f600", None)]


def test_jsonl_keys_can_have_other_names(read):
    rows = read('{"utterance": "a", "id": 7}\n', "jsonl", columns={"text": "utterance", "id": "id"})
    assert (rows[0].text, rows[0].extra) == ("a", {"id": 7})


def test_a_named_extra_must_be_there_in_training_only(read):
    assert findings(read, '{"text": "a"}\n', "jsonl", columns={"id": "id"})[0].endswith("got no 'id'")
    assert read('{"text": "a"}\n', "jsonl", columns={"id": "id"}, carry=True)[0].extra == {}


def test_unnamed_keys_are_carried_along_in_prediction(read):
    assert read('{"text": "a", "meta": {"n": [1]}}\n', "jsonl", carry=True)[0].extra == {"meta": {"n": [1]}}


def test_a_carried_key_may_not_pass_for_another(read):
    line = '{"text": "a", "label": "b", "intent": "c"}\n'
    (finding,) = findings(read, line, "jsonl", carry=True, columns={"label": "intent"})
    assert finding == "1: expected 'label' under the key that data.columns names, got a key of that name too"


def test_jsonl_written_by_python_comes_back_exactly(read):
    draw = random.Random(5)
    for ascii_only in (True, False):
        rows = [("".join(draw.choices('ab"\\\n\t\u2028é\U0001f600', k=9)) + ".", None) for _ in range(200)]
        content = "".join(json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text, _ in rows)
        assert pairs(read(content, "jsonl")) == rows


# anything at all


@pytest.mark.parametrize("suffix", CLEAN)
def test_random_bytes_give_rows_and_findings_or_one_error(read, suffix):
    draw = random.Random(13)
    pieces = [b"a", b"\t", b",", b'"', b"\n", b"\r\n", b"\r", b"\0", b"\xff", b" ", "é\u2028".encode(), b"text,label\n"]
    pieces += [b'{"text": "a"}', b'{"text":', b"[", b"}", b"1e999", b"\\ud800", b"\xef\xbb\xbf"]
    outcomes = set()
    for _ in range(400):
        content = b"text,label\n" * (suffix == "csv") + b"".join(draw.choices(pieces, k=draw.randint(1, 25)))
        try:
            rows = read(content, suffix, "skip", max_row_bytes=20)
        except DataError as error:
            outcomes.add(f"error {error.exit_code}")
        else:
            lines = [rows.origin(i).line for i in range(len(rows))] + [finding.origin.line for finding in rows.skipped]
            assert len(set(lines)) == len(lines)
            assert [row.text for row in rows] == [rows[i].text for i in range(len(rows))]
            outcomes.add("rows")
    assert outcomes == {"error 7", "rows"}


# kinds of files


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a\tx\n".encode("utf-16"), "it looks like UTF-16"),
        ("a b c\tx\n".encode("utf-16-le"), "it looks like UTF-16"),
        (b"\x1f\x8b\x08\x00rest", "is compressed"),
        (b"PK\x03\x04rest", "is compressed, or a spreadsheet"),
        (b"PAR1\x15\x04\x15\x00rest", "is Parquet"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "Git LFS keeps in its place"),
        ("a\tx\n".encode("utf-32"), "it looks like UTF-32"),
        (b"a\tx\rb\ty\rc\tz\r", "end in bare carriage returns"),
    ],
)
def test_a_file_that_is_no_utf8_text_is_refused_as_a_whole(read, content, what):
    with pytest.raises(DataError, match=what) as caught:
        read(content)
    assert caught.value.fix
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(("name", "hint"), [("train.tvs", "did you mean .tsv?"), ("train.csv.gz", "expected one of")])
def test_an_unknown_kind_of_file_names_the_known_ones(name, hint):
    with pytest.raises(DataError, match="cannot be read") as caught:
        format_of(name)
    assert caught.value.fix == "unpack, convert or rename the file"
    with pytest.raises(DataError) as caught:
        Schema(Text).format_of(name)
    fix = "unpack, convert or rename the file, or name the format of all files, such as data.format=conll"
    assert caught.value.fix == fix
    with pytest.raises(DataError) as caught:
        Schema(Text, carry=True).format_of(name)
    assert caught.value.fix == 'name its format: make predict … ARGS="--format tsv"'
    assert hint in caught.value.because


def test_a_file_without_suffix_is_refused():
    with pytest.raises(DataError, match="needs a suffix"):
        format_of("train")


def test_a_project_can_register_a_format_of_its_own(read, monkeypatch):
    monkeypatch.setitem(FORMATS, ".tab", Tsv())  # what is registered here ends with the test
    register_format("tab", Tsv())
    assert pairs(read("a\tx\n", "tab")) == [("a", "x")]


def test_all_surplus_values_of_an_own_format_are_named_and_may_be_carried_along(read, monkeypatch):
    class Marked(Format):
        def values(self, text):
            return dict(zip(("text", "labl", "domain"), text.split("#"), strict=True))

    monkeypatch.setitem(FORMATS, ".marked", Marked())
    with pytest.raises(DataError) as caught:
        read("a#x#web\n" * 3, "marked")
    because = "expected Marked to give text, label, got 'labl', 'domain' too; is 'label' meant?"
    assert caught.value.because == because
    carried = "carry them along with +data.columns.labl=labl +data.columns.domain=domain, or take it out of the file"
    assert caught.value.fix == carried
    row = read("a#x#web\n", "marked", columns={"labl": "labl", "domain": "domain"})[0]
    assert row.extra == {"labl": "x", "domain": "web"}

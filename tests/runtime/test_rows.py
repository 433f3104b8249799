"""Rows: checked in one scan, read again when asked for; streams: one answer per row, in order, in constant memory."""

from __future__ import annotations

import io
import os
import pickle
import random
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scaffold.errors import DataError, EnvironmentFault, ScaffoldError
from scaffold.runtime.reading.formats import Schema
from scaffold.runtime.reading.rows import Finding, lines_of, read_rows, stream_rows
from scaffold.runtime.samples import Origin, Sample


@dataclass
class Text(Sample):
    text: str
    label: str | None = None


SCHEMA = Schema(Text)


def write(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def texts(rows):
    return [row.text for row in rows]


def test_rows_of_several_files_follow_each_other(tmp_path):
    rows = read_rows(
        [write(tmp_path / "a.tsv", "a\tx", "b\tx"), write(tmp_path / "b.csv", "label,text", "x,c")], SCHEMA
    )
    assert texts(rows) == ["a", "b", "c"] == [rows[i].text for i in range(3)]
    assert rows[-1].origin == rows.origin(2) == Origin(str(tmp_path / "b.csv"), 2)
    assert rows.files == (tmp_path / "a.tsv", tmp_path / "b.csv")
    with pytest.raises(IndexError):
        rows[3]


def test_slices_and_selections_are_rows_again(tmp_path):
    rows = read_rows([write(tmp_path / "a.tsv", *"abcdef")], SCHEMA)
    assert texts(rows[1:5:2]) == ["b", "d"]
    assert texts(rows.take([5, 0, 0])) == ["f", "a", "a"]
    assert texts(rows[2:].take(np.array([1]))) == ["d"]
    assert texts(rows[6:]) == []
    assert rows.take([3]).origin(0).line == 4


def test_iteration_and_access_agree_for_any_selection_of_rows_of_any_length(tmp_path):
    draw = random.Random(11)
    lines = [("é" * draw.choice([1, 5, 400, 9000])) + str(i) for i in range(700)]
    half = write(tmp_path / "a.tsv", *lines[:350]), write(tmp_path / "b.tsv", *lines[350:])
    rows = read_rows(half, SCHEMA)
    assert texts(rows) == lines
    for _ in range(5):
        picked = [draw.randrange(700) for _ in range(300)]
        assert texts(rows.take(picked)) == [lines[i] for i in picked]
        picked.sort()
        assert texts(rows.take(picked)) == [lines[i] for i in picked]


def test_all_bad_rows_are_reported_in_one_error(tmp_path):
    path = write(tmp_path / "a.tsv", "a\tx", "\tx", "b\tx\ty", "c")
    with pytest.raises(DataError) as caught:
        read_rows([path], SCHEMA)
    error = caught.value
    assert (error.exit_code, error.where.file, error.where.line) == (7, str(path), 2)
    assert error.what == "2 rows of the data cannot be used."
    assert error.because == "expected a value in 'text', got the empty text ''"
    assert error.details == (
        f"{path}:2: expected a value in 'text', got the empty text ''",
        f"{path}:3: expected 1 to 2 columns (text, label), got 3",
    )


def test_one_bad_row_needs_no_list(tmp_path):
    with pytest.raises(DataError) as caught:
        read_rows([write(tmp_path / "a.tsv", "a", "\tx")], SCHEMA)
    assert caught.value.what == "1 row of the data cannot be used."
    assert caught.value.details == ()


def test_the_scan_stops_at_twenty_bad_rows_over_all_files(tmp_path):
    paths = [write(tmp_path / f"{name}.tsv", "ok", *["\tx"] * 15) for name in "abc"]
    with pytest.raises(DataError, match="At least 20 rows") as caught:
        read_rows(paths, SCHEMA)
    assert [line.split(": ")[0] for line in caught.value.details] == [
        *(f"{paths[0]}:{line}" for line in (2, 3, 4)),
        f"{paths[0]}",
        *(f"{paths[1]}:{line}" for line in (2, 3, 4)),
        f"{paths[1]}",
    ]
    assert [line for line in caught.value.details if "more" in line] == [
        f"{paths[0]}: 12 more like it",
        f"{paths[1]}: 2 more like it",
    ]


def test_bad_rows_that_are_alike_are_told_once_and_others_among_them_each(tmp_path):
    path = write(tmp_path / "a.tsv", "\tx", "b\tx\ty", *["\tx"] * 4, "c\tx\ty\tz", *["b\tx\ty"] * 3)
    with pytest.raises(DataError) as caught:
        read_rows([path], SCHEMA)
    places = [line.removeprefix(f"{path}:").split(":")[0] for line in caught.value.details]
    assert places == ["1", "2", "3", "4", " 2 more like it", "7", "8", "9", "10"]


def test_bad_rows_are_alike_whatever_their_ids_are_and_not_because_of_an_id_in_their_text(tmp_path):
    def lines(*findings):
        return lines_of([Finding(Origin("a.tsv", line), *parts) for line, parts in enumerate(findings, 1)])

    told = lines(*(("expected a label, got none", "", f"n{number}") for number in range(5)))
    assert told[0] == "a.tsv:1: expected a label, got none (id 'n0')"
    assert told[3:] == ["a.tsv: 2 more like it"]
    assert len(lines(*((f"'x (id {number})' is no label",) for number in range(5)))) == 5


def test_rows_in_are_rows_used_and_rows_skipped(tmp_path):
    draw = random.Random(2)
    lines = [draw.choice(["a\tx", "\tx", "b\tx\ty", "c", "\0"]) for _ in range(500)]
    rows = read_rows([write(tmp_path / "a.tsv", "first", *lines)], SCHEMA, on_bad_row="skip")
    used = [rows.origin(i).line for i in range(len(rows))]
    assert sorted(used + [finding.origin.line for finding in rows.skipped]) == list(range(1, 502))
    assert len(rows.skipped) > 20


def test_a_file_of_bad_rows_only_is_an_error_also_when_they_are_skipped(tmp_path):
    with pytest.raises(DataError, match="2 rows of the data cannot be used"):
        read_rows([write(tmp_path / "a.tsv", "\tx", "\ty")], SCHEMA, on_bad_row="skip")


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tsv", ""), ("a.tsv", "\ufeff"), ("a.tsv", "\n\n"), ("a.csv", ""), ("a.csv", "text\n"), ("a.jsonl", "")],
)
def test_a_file_without_rows_is_an_error(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="holds no rows") as caught:
        read_rows([write(tmp_path / "good.tsv", "a"), tmp_path / name], SCHEMA)
    assert caught.value.where.file == str(tmp_path / name)


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.tsv")
    (tmp_path / "folder.tsv").mkdir()
    for name, what, code in (("none", "does not exist", 2), ("folder", "A folder", 7), ("pipe", "read twice", 7)):
        with pytest.raises(ScaffoldError, match=what) as caught:
            read_rows([tmp_path / f"{name}.tsv"], SCHEMA)
        assert (caught.value.where.file, caught.value.exit_code) == (str(tmp_path / f"{name}.tsv"), code)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_environment_fault(tmp_path):
    path = write(tmp_path / "a.tsv", "a")
    path.chmod(0)
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read_rows([path], SCHEMA)


def test_a_name_that_is_too_long_is_an_environment_fault(tmp_path):
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        read_rows([tmp_path / f"{'a' * 300}.tsv"], SCHEMA)


def test_a_file_that_changed_since_it_was_checked_is_refused(tmp_path):
    path = write(tmp_path / "a.tsv", "a", "b")
    rows = read_rows([path], SCHEMA)
    write(path, "something else")
    with pytest.raises(DataError, match="changed while it was in use"):
        rows[1]


def test_rows_can_be_sent_to_another_process(tmp_path):
    rows = read_rows([write(tmp_path / "a.csv", "label,text", "x,a", "y,b")], SCHEMA)
    assert rows[0].text == "a"
    assert texts(pickle.loads(pickle.dumps(rows))) == ["a", "b"]


def test_a_line_of_any_length_is_not_held_in_memory(tmp_path):
    path = tmp_path / "a.tsv"
    with path.open("wb") as file:
        file.write(b"good\tx\n")
        for _ in range(30):
            file.write(b"y" * (1 << 20))
        file.write(b"\nlast\tx\n")
    tracemalloc.start()
    rows = read_rows([path], SCHEMA, on_bad_row="skip")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
    assert texts(rows) == ["good", "last"]
    assert rows.skipped == [Finding(Origin(str(path), 2), "expected a row of at most 1,048,576 bytes, got 31,457,281")]


def test_ten_thousand_rows_are_held_in_few_bytes_each(tmp_path):
    path = write(tmp_path / "a.tsv", *[f"{'word ' * 40}{i}\tlabel" for i in range(10_000)])
    tracemalloc.start()
    rows = read_rows([path], SCHEMA)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 40 * len(rows)


# streams


def answers(stream):
    return [f"{found.origin}: {found.message}" if isinstance(found, Finding) else found.text for found in stream]


def test_a_stream_gives_one_answer_per_row_in_order():
    stream = io.BytesIO(b"\xef\xbb\xbfa\tx\r\n\tx\nb\n\nc\xff\nd")
    assert answers(stream_rows(stream, SCHEMA)) == [
        "a",
        "standard input:2: expected a value in 'text', got the empty text ''",
        "b",
        "standard input:4: expected a row, got an empty line",
        "standard input:5: expected UTF-8 text, got 0xff at byte 2 of the row",
        "d",
    ]


def test_a_stream_has_the_kind_that_it_is_said_to_have():
    stream = io.BytesIO(b'{"text": "a", "id": 1}\n{"text": "b"}\n')
    first, second = stream_rows(stream, Schema(Text, carry=True), kind="jsonl", name="input")
    assert (first.text, first.extra, second.origin) == ("a", {"id": 1}, Origin("input", 2))


@pytest.mark.parametrize("kind", ["tsv", "csv", "jsonl"])
def test_an_empty_stream_has_no_rows(kind):
    assert list(stream_rows(io.BytesIO(b""), SCHEMA, kind=kind)) == []


def test_a_file_can_be_streamed_and_its_kind_be_given(tmp_path):
    write(tmp_path / "a.csv", "text", "a")
    write(tmp_path / "rows.txt", "b\tx")
    assert answers(stream_rows(tmp_path / "a.csv", SCHEMA)) == ["a"]
    assert answers(stream_rows(tmp_path / "rows.txt", SCHEMA, kind=".tsv")) == ["b"]


def test_an_unknown_kind_of_stream_is_refused():
    with pytest.raises(DataError, match="cannot be read"):
        next(stream_rows(io.BytesIO(b"a"), SCHEMA, kind="xml"))


def test_a_stream_is_read_as_it_comes():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as feed:
        rows = stream_rows(stream, SCHEMA)
        feed.write(b"a\n")
        assert next(rows).text == "a"
        feed.write(b"b\n")
        assert next(rows).text == "b"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_real_rows_are_read_as_they_stand(split):
    root = Path(os.environ.get("SCAFFOLD_DATA", Path(__file__).parents[3] / "shared" / "data"))
    path = root / "sequence" / "banking77" / f"{split}.tsv"
    if not path.exists():
        pytest.skip("the real data is not here; SCAFFOLD_DATA names its folder")
    rows = read_rows([path], Schema(Text, required=("label",)))
    assert [f"{row.text}\t{row.label}" for row in rows] == path.read_text(encoding="utf-8").removesuffix("\n").split(
        "\n"
    )

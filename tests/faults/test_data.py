"""Rows that are not as they should be end a run before training, with file and line; none of them is lost unseen."""

from __future__ import annotations

import json
import os
import resource

import pytest

SOUND = "".join(f"play song number {number}\tmusic\nset a timer for {number}\ttimer\n" for number in range(20))
CSV = "sequence,label\n" + "".join(f'"play song, {number}",music\nset {number},timer\n' for number in range(20))
OBJECTS = [{"sequence": f"{word} {n}", "label": label} for n in range(20) for word, label in (("a", "x"), ("b", "y"))]
JSONL = "".join(json.dumps(row) + "\n" for row in OBJECTS)

# what is wrong with a file: its name and content, and the place and the cause that are told
FAULTS = {
    "NUL": ("train_tsv", SOUND + "a\0b\tmusic\n", "train.tsv:41", "expected text, got a NUL character at byte 2"),
    "invalid UTF-8": (
        "train_tsv",
        SOUND.encode() + b"caf\xe9\tmusic\n",
        "train.tsv:41",
        "expected UTF-8 text, got 0xe9",
    ),
    "UTF-16": ("train_tsv", SOUND.encode("utf-16"), "train.tsv", "it begins with b'\\xff\\xfe"),
    "missing column": ("train_csv", "label\nx\n", "train.csv:1", "no 'sequence'"),
    "other columns": (
        "train_csv",
        "text,label\na,x\n",
        "train.csv:1",
        "expected 'sequence', 'label', got no 'sequence'",
    ),
    "surplus column": ("train_csv", "sequence,label,id\na,x,1\n", "train.csv:1", "got 'id' too"),
    "too many columns": ("train_tsv", SOUND + "a\tb\tc\n", "train.tsv:41", "columns (sequence, label), got 3"),
    "too few columns": ("train_csv", CSV + "alone\n", "train.csv:42", "expected 2 columns (sequence, label), got 1"),
    "no label": ("train_tsv", SOUND + "alone\n", "train.tsv:41", "expected a label, got none"),
    "no label in validation": ("validation_tsv", SOUND + "alone\n", "validation.tsv:41", "expected a label, got none"),
    "open quote": ("train_csv", CSV + '"open,music\nx,y\n', "train.csv:42", "expected a quote that ends the value"),
    "no JSON": ("train_jsonl", JSONL + '{"sequence": "x"\n', "train.jsonl:41", "expected a JSON object"),
    "missing key": ("train_jsonl", JSONL + '{"label": "x"}\n', "train.jsonl:41", "got no 'sequence'"),
    "empty text": ("train_tsv", SOUND + "  \tmusic\n", "train.tsv:41", "got the empty text '  '"),
    "empty line": ("train_tsv", "a\tx\n\nb\ty\n", "train.tsv:2", "expected a row, got an empty line"),
    "compressed": ("train_tsv", b"\x1f\x8b\x08\x00", "train.tsv", ""),
    "empty file": ("train_tsv", "", "train.tsv", ""),
    "empty validation": ("validation_tsv", "", "validation.tsv", ""),
    "label unseen in validation": ("validation_tsv", SOUND + "why\task\n", "validation.tsv:41", "'ask' is not among"),
    "label unseen in test": ("test_tsv", SOUND + "why\tmusik\n", "test.tsv:41", "did you mean 'music'?"),
    "one class": ("train_tsv", "a\tx\nb\tx\n", "train.tsv", "the only label is 'x'"),
    "long line": ("train_tsv", SOUND + "a" * 2_000_000 + "\tx\n", "train.tsv:41", "at most 1,048,576 bytes"),
}


@pytest.mark.parametrize("file, content, place, because", FAULTS.values(), ids=FAULTS)
def test_a_fault_in_the_rows_ends_the_run_before_training(project, file, content, place, because):
    ended = project.train(project.rows(**{file: content}))
    assert ended.code == 7
    assert f" [rows/{place}]\n" in ended.err
    assert because in ended.err
    assert "  fix: " in ended.err
    assert "Traceback" not in ended.err
    assert "epoch" not in ended.err
    assert not project.finished()
    assert not project.run("latest").exists()


def test_several_bad_rows_are_told_at_once(project):
    ended = project.train(project.rows(train_tsv="alone\n" + SOUND + "a\tb\tc\n\0\tmusic\n"))
    assert ended.code == 7
    assert "error: 3 rows of the data cannot be used. [rows/train.tsv:1]" in ended.err
    assert "    rows/train.tsv:1: expected a label, got none" in ended.err
    assert "    rows/train.tsv:43: expected text, got a NUL" in ended.err


def test_a_label_that_is_no_number_is_refused_in_a_regression(project):
    ended = project.train(project.rows(train_tsv="a\t1.5\nb\tfew\nc\t2\n"), "task.target=regression")
    assert ended.code == 7
    assert "[rows/train.tsv:2]" in ended.err
    assert "expected a number as label (task.target is regression), got 'few'" in ended.err


def test_a_training_set_that_min_length_empties_is_refused(project):
    ended = project.train(project.rows(), "task.min_length=100")
    assert ended.code == 7
    assert "error: no row of train is left [rows/train.tsv]\n" in ended.err
    assert "because: of 40 rows, 40 are too short and 0 cannot be encoded" in ended.err


def test_a_line_of_100_megabytes_is_refused_in_bounded_memory(project):
    """The file is sparse, and the process is a fork, whose peak is its own."""
    project.train(project.rows(), "trainer.max_epochs=1")  # loads what a training needs
    folder = project.rows()
    with (project.folder / "rows" / "train.tsv").open("ab") as handle:
        handle.write(b"a" * 100_000_000 + b"\tmusic\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = project.forked(folder, run="runs/long")
    assert ended.code == 7
    assert "[rows/train.tsv:41]" in ended.err
    assert "got 100,000,007" in ended.err
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 50_000


# What is read as it should be


@pytest.mark.parametrize(
    "files",
    [
        {"train_tsv": "\ufeff" + SOUND},
        {"train_tsv": SOUND.replace("\n", "\r\n")},
        {"train_tsv": SOUND.removesuffix("\n")},
        {"train_tsv": SOUND + "\n\n"},
    ],
    ids=["BOM", "CRLF", "no line end", "empty lines at the end"],
)
def test_an_encoding_of_the_same_rows_gives_the_same_run(project, files):
    assert project.train(project.rows()).code == 0
    assert project.train(project.rows(**files), run="runs/two").code == 0
    curves = [(project.run(name) / "metrics.csv").read_text(encoding="utf-8") for name in ("one", "two")]
    assert curves[0] == curves[1]


def test_csv_and_jsonl_are_read_by_name_whatever_the_order(project):
    lines = [line.split("\t") for line in SOUND.splitlines()]
    reordered = "label,sequence\n" + "".join(f"{label},{text}\n" for text, label in lines)
    objects = "".join(json.dumps({"label": label, "sequence": text}) + "\n" for text, label in lines)
    assert project.train(project.rows(), run="runs/tsv").code == 0
    assert project.train(project.rows(train_csv=reordered), run="runs/csv").code == 0
    assert project.train(project.rows(train_jsonl=objects), run="runs/jsonl").code == 0
    assert (
        len({(project.run(name) / "metrics.csv").read_text(encoding="utf-8") for name in ("tsv", "csv", "jsonl")}) == 1
    )


def test_columns_say_what_the_files_call_them(project):
    named = CSV.replace("sequence,label", "text,intent")
    setting = project.rows(train_csv=named, validation_csv=named, test_csv=named)
    assert project.train(setting, "data.columns={sequence: text, label: intent}").code == 0


def test_a_further_column_can_be_named(project):
    surplus = "".join(f"{number},{line}\n" for number, line in enumerate(CSV.splitlines()))
    surplus = surplus.replace("0,sequence,label", "id,sequence,label")
    setting = project.rows(train_csv=surplus, validation_csv=surplus, test_csv=surplus)
    assert project.train(setting, "+data.columns.id=id").code == 0


def test_a_single_file_is_divided(project):
    project.rows()
    ended = project.train("data.path=rows/train.tsv")
    assert ended.code == 0
    assert "validation: no file of its own, so it has 4 of 40 training rows" in ended.err
    assert "test: no file of its own, so it has 4 of 40 training rows" in ended.err


def test_a_split_may_have_several_files(project):
    project.rows()
    ended = project.train("data.path={train: [rows/train.tsv, rows/validation.tsv], test: rows/test.tsv}")
    assert ended.code == 0
    found = json.loads((project.run() / "manifest.json").read_text(encoding="utf-8"))
    assert list(found["data"]["train"]) == ["rows/train.tsv", "rows/validation.tsv"]


def test_rows_that_are_read_more_than_once_are_told(project):
    other = SOUND + SOUND.splitlines()[0] + "\n"
    project.rows(train_tsv=SOUND, validation_tsv=other, test_tsv=SOUND)
    ended = project.train("data.path={train: [rows/train.tsv], validation: rows/validation.tsv, test: rows/test.tsv}")
    assert ended.code == 0
    assert "the same rows are read more than once, as train: rows/train.tsv, test: rows/test.tsv\n" in ended.err
    project.rows(train_tsv=SOUND, validation_tsv=other, test_tsv=other + other)
    ended = project.train("data.path=rows", run="runs/two")
    assert ended.code == 0
    assert "more than once" not in ended.err


def test_rows_that_are_read_more_than_once_are_told_whatever_the_suffix_of_their_files(project):
    project.rows(train_txt=SOUND, validation_tsv=SOUND + SOUND.splitlines()[0] + "\n", test_txt=SOUND)
    files = "data.path={train: rows/train.txt, validation: rows/validation.tsv, test: rows/test.txt}"
    ended = project.train(files, "data.format=tsv")
    assert ended.code == 0
    assert "the same rows are read more than once, as train: rows/train.txt, test: rows/test.txt\n" in ended.err


def test_the_vocabulary_of_an_earlier_run_is_used_again(project):
    assert project.train(project.rows(train_tsv=SOUND + "why\task\n")).code == 0
    ended = project.train(project.rows(), "data.vocabulary=runs/one", run="runs/two")
    assert ended.code == 0
    labels = [json.loads((project.run(name) / "vocabulary.json").read_text())["labels"] for name in ("one", "two")]
    assert labels == [["ask", "music", "timer"]] * 2


def test_a_label_that_the_reused_vocabulary_lacks_is_refused(project):
    assert project.train(project.rows()).code == 0
    ended = project.train(project.rows(train_tsv=SOUND + "why\task\n"), "data.vocabulary=runs/one", run="runs/two")
    assert ended.code == 7
    assert "[rows/train.tsv:41]" in ended.err


# What is left out


def left_out(project, name="one"):
    path = project.run(name) / "skipped_rows.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_that_are_skipped_are_told_and_listed(project):
    setting = project.rows(train_tsv="alone\n" + SOUND + "a\tb\tc\n", test_tsv=SOUND + "why\task\n")
    ended = project.train(setting, "data.on_bad_row=skip", "data.batch_size=1")
    assert ended.code == 0
    assert "train: left out rows/train.tsv:1: expected a label, got none\n" in ended.err
    assert [(row["split"], row["file"], row["line"]) for row in left_out(project)] == [
        ("train", "rows/train.tsv", 42),
        ("train", "rows/train.tsv", 1),
        ("test", "rows/test.tsv", 41),
    ]
    assert {row["error"] for row in left_out(project)} >= {"expected a label, got none"}


def test_rows_in_are_rows_used_and_rows_listed(project):
    from scaffold.runtime.training import checkpoints

    bad = {3: "alone\n", 10: "a\tb\tc\n", 11: "\0\tmusic\n", 30: " \tmusic\n"}
    lines = [bad.get(number, line) for number, line in enumerate(SOUND.splitlines(keepends=True))]
    setting = project.rows(train_tsv="".join(lines))
    assert project.train(setting, "data.on_bad_row=skip", "data.batch_size=1", "trainer.max_epochs=1").code == 0
    state = checkpoints.load(project.run() / "checkpoints" / "last.ckpt")
    assert state["scaffold"]["averages"]["items"] + len(left_out(project)) == len(lines)
    assert sorted(row["line"] for row in left_out(project)) == [number + 1 for number in bad]


def test_many_skipped_rows_are_all_listed_and_not_all_told(project):
    ended = project.train(project.rows(train_tsv=SOUND + "alone\n" * 50), "data.on_bad_row=skip")
    assert ended.code == 0
    assert [line for line in ended.err.splitlines() if "left out" in line] == [
        *(f"train: left out rows/train.tsv:{line}: expected a label, got none" for line in (41, 42, 43)),
        "train: left out rows/train.tsv: 47 more like it",
    ]
    assert len(left_out(project)) == 50


def test_rows_that_are_all_bad_are_refused_though_bad_rows_are_skipped(project):
    ended = project.train(project.rows(train_tsv="a\tb\tc\n" * 3), "data.on_bad_row=skip")
    assert ended.code == 7
    assert "[rows/train.tsv:1]" in ended.err


def test_texts_that_are_too_short_are_counted_and_listed(project):
    short = SOUND + "a\tmusic\n"
    ended = project.train(project.rows(train_tsv=short, validation_tsv=short), "task.min_length=4")
    assert ended.code == 0
    assert "train: 1 of 41 rows are shorter than task.min_length: left out\n" in ended.err
    [row] = left_out(project)
    assert (row["split"], row["line"], row["error"]) == ("train", 41, "it is shorter than task.min_length")


def test_texts_that_are_cut_are_counted_in_every_split(project):
    ended = project.train(project.rows(), "task.max_length=4")
    assert ended.code == 0
    for split in ("train", "validation", "test"):
        assert f"{split}: 40 of 40 rows were cut to task.max_length tokens\n" in ended.err
    assert not (project.run() / "skipped_rows.jsonl").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_the_machines_fault(project):
    setting = project.rows()
    (project.folder / "rows" / "train.tsv").chmod(0)
    assert project.train(setting).code == 4

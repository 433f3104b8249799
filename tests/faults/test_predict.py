"""Predictions: one row out per row in, in order, whatever the rows, the files or the reader are like."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def trained(project):
    assert project.train("trainer.max_epochs=1").code == 0


def predicted(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def of_file(project, *arguments: str, **files: str):
    """Write a file, predict it, and return how that ended and what was found."""
    [(name, content)] = files.items()
    path = project.folder / name.replace("_", ".")
    path.write_text(content, encoding="utf-8", newline="")
    ended = project.command("predict", "--input", path.name, "--output", "found.jsonl", *arguments)
    found = project.folder / "found.jsonl"
    return ended, predicted(found.read_text(encoding="utf-8")) if found.exists() else None


def of_input(project, monkeypatch, raw: bytes, *arguments: str):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
    ended = project.command("predict", *arguments)
    return ended, predicted(ended.out)


def test_standard_input_and_output_are_the_default(project, monkeypatch):
    ended, found = of_input(project, monkeypatch, b"play a song\nset a timer\n")
    assert (ended.code, ended.err) == (0, "")
    assert [row["sequence"] for row in found] == ["play a song", "set a timer"]
    assert all(0 <= row["score"] <= 1 for row in found)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_standard_input_may_be_of_another_kind(project, monkeypatch, kind):
    raw = {"csv": b'sequence\n"play, now"\n', "jsonl": b'{"sequence": "play, now"}\n'}[kind]
    _, found = of_input(project, monkeypatch, raw, "--format", kind)
    assert [row["sequence"] for row in found] == ["play, now"]


def test_no_rows_give_no_predictions(project, monkeypatch):
    ended, found = of_input(project, monkeypatch, b"")
    assert (ended.code, found, ended.err) == (0, [], "there are no rows in standard input\n")
    ended, found = of_file(project, new_tsv="")
    assert (ended.code, found, ended.err) == (0, [], "there are no rows in new.tsv\n")


def test_one_row_is_enough(project):
    ended, found = of_file(project, new_tsv="play a song")
    assert (ended.code, len(found)) == (0, 1)


def test_the_rows_of_several_chunks_keep_their_order(project):
    texts = [f"play song {number} " * (1 + number % 7) for number in range(1500)]
    ended, found = of_file(project, new_tsv="".join(f"{text}\n" for text in texts))
    assert ended.code == 0
    assert [row["sequence"] for row in found] == texts


@pytest.mark.parametrize("bad", ["a\tb\tc", " ", "\0", "x" * 2_000_000], ids=["columns", "empty", "NUL", "long"])
def test_a_bad_row_keeps_its_place_and_is_told_at_the_end(project, bad):
    ended, found = of_file(project, new_tsv=f"play a song\n{bad}\nset a timer\n")
    assert ended.code == 7
    assert ended.err.startswith("error: 1 row could not be predicted\n")
    assert [row.get("sequence") for row in found] == ["play a song", None, "set a timer"]
    assert found[1].keys() == {"row", "line", "error"}
    assert (found[1]["row"], found[1]["line"]) == (2, 2)


def test_invalid_utf_8_spoils_its_own_row_only(project, monkeypatch):
    ended, found = of_input(project, monkeypatch, b"play\ncaf\xe9\nset\n")
    assert ended.code == 7
    assert ["prediction" in row for row in found] == [True, False, True]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_bad_rows_at_either_end_and_alone_keep_their_places(project, place):
    rows = [["a\tb\tc", "play", "set"], ["play", "set", "a\tb\tc"], ["a\tb\tc"] * 3][place]
    ended, found = of_file(project, new_tsv="".join(f"{row}\n" for row in rows))
    assert ended.code == 7
    assert [row.get("sequence") for row in found] == [None if "\t" in row else row for row in rows]
    assert [row["row"] for row in found if "row" in row] == [n for n, row in enumerate(rows, 1) if "\t" in row]


@pytest.mark.parametrize(
    "files",
    [
        {"new_csv": 'id,sequence,note\n7,"play, now",x\n8,stop,\n'},
        {"new_jsonl": '{"id": "7", "sequence": "play, now", "note": "x"}\n{"id": "8", "sequence": "stop", "note": ""}'},
    ],
    ids=["csv", "jsonl"],
)
def test_further_columns_are_carried_along(project, files):
    ended, found = of_file(project, **files)
    assert ended.code == 0
    assert [(row["id"], row["sequence"], row["note"]) for row in found] == [("7", "play, now", "x"), ("8", "stop", "")]


def test_labels_that_are_there_are_carried_along_and_may_be_unknown(project):
    ended, found = of_file(project, new_tsv="play a song\tsomething new\n")
    assert ended.code == 0
    assert found[0]["label"] == "something new"


def test_the_columns_of_training_are_used(project):
    csv = "text,intent\n" + "".join(f"play {number},music\nset {number},timer\n" for number in range(9))
    setting = project.rows(train_csv=csv, validation_csv=csv, test_csv=csv)
    assert project.train(setting, "data.columns={sequence: text, label: intent}", run="runs/two").code == 0
    ended, found = of_file(project, "--run", "runs/two", new_csv="text\nplay a song\n")
    assert (ended.code, found[0]["sequence"]) == (0, "play a song")


def test_a_header_without_the_text_is_refused(project):
    ended, found = of_file(project, new_csv="title\nplay a song\n")
    assert ended.code == 7
    assert "[new.csv:1]" in ended.err
    assert found is None


def test_a_file_is_not_replaced_by_its_own_predictions(project):
    path = project.folder / "data" / "test.tsv"
    before = path.read_bytes()
    (project.folder / "link.jsonl").symlink_to(path)
    for output in ("data/test.tsv", "link.jsonl"):
        ended = project.command("predict", "--input", "data/test.tsv", "--output", output)
        assert ended.code == 3
        assert "is both input and output" in ended.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("output", ["nowhere/found.jsonl", "data", "train.py/found.jsonl"])
def test_an_output_that_cannot_be_written_is_the_machines_fault(project, output):
    ended = project.command("predict", "--input", "data/test.tsv", "--output", output)
    assert ended.code == 4
    assert f"error: cannot write {output} [{output}]" in ended.err
    assert not list(project.folder.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told(project):
    with Path("/dev/full").open("w") as full:
        ended = project.process("-m", "scaffold.runtime", "predict", "--input", "data/test.tsv", stdout=full)
        _, errors = ended.communicate(timeout=60)
    assert ended.returncode == 4, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(("source", "code"), [("nowhere.tsv", 2), ("data", 7), ("conf/train.yaml", 7)])
def test_an_input_that_cannot_be_read_is_named(project, source, code):
    ended = project.command("predict", "--input", source, "--output", "found.jsonl")
    assert ended.code == code
    assert f"[{source}]" in ended.err
    assert not list(project.folder.glob("found*"))


def test_an_error_in_the_persons_code_leaves_no_half_written_file(project):
    project.edit(
        "mymodel/task.py",
        "        features = encode_text(",
        "        1 / (stage != 'predict')\n        features = encode_text(",
    )
    (project.folder / "found.jsonl").write_text("kept\n", encoding="utf-8")
    ended = project.command("predict", "--input", "data/test.tsv", "--output", "found.jsonl")
    assert ended.code == 1
    assert ended.err.startswith("error: ZeroDivisionError in SequenceTask.encode [mymodel/task.py:")
    assert (project.folder / "found.jsonl").read_text(encoding="utf-8") == "kept\n"
    assert not list(project.folder.glob("*.part"))


def test_a_reader_that_has_seen_enough_ends_it_quietly(project):
    many = project.folder / "many.tsv"
    many.write_text("play a song\n" * 20_000, encoding="utf-8")
    predicting = project.process("-m", "scaffold.runtime", "predict", "--input", "many.tsv")
    assert json.loads(predicting.stdout.readline())["sequence"] == "play a song"
    predicting.stdout.close()
    assert predicting.stderr.read() == ""
    assert predicting.wait(timeout=60) == 0


def test_errors_are_json_for_programs(project):
    ended = project.command("predict", "--json", "--input", "nowhere.tsv")
    assert (ended.code, ended.err) == (2, "")
    found = json.loads(ended.out)["error"]
    assert (found["exit"], found["code"], found["file"]) == (2, "usage.no-file", "nowhere.tsv")


def test_texts_that_are_cut_are_counted_at_the_end(project):
    ended, _ = of_file(project, new_tsv="play a song " * 200 + "\nplay a song\n")
    assert (ended.code, ended.err) == (0, "1 row was cut to task.max_length tokens\n")
    ended, _ = of_file(project, "task.max_length=4", new_tsv="play a very long song\nplay a very long song\n")
    assert (ended.code, ended.err) == (0, "2 rows were cut to task.max_length tokens\n")


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_what_a_model_has_learnt_to_give_cannot_be_changed_afterwards(project, command):
    files = ["--input", "data/test.tsv", "--output", "found.jsonl"] if command == "predict" else []
    ended = project.command(command, *files, "task.target=regression")
    assert ended.code == 2
    assert "error: task.target cannot be changed after training [task.target]" in ended.err
    assert "the model has learnt with task.target=single: its weights and labels are made for that" in ended.err
    assert "fix: leave it out, or train again with task.target=regression" in ended.err
    assert project.command(command, *files, "task.target=single").code == 0


def test_a_file_of_an_unknown_kind_is_read_with_its_format_named(project):
    ended, found = of_file(project, new_txt="play a song\n")
    assert (ended.code, found) == (7, None)
    assert 'fix: name its format: make predict … ARGS="--format tsv"' in ended.err
    ended, found = of_file(project, "--format", "tsv", new_txt="play a song\n")
    assert (ended.code, len(found)) == (0, 1)


def test_a_file_with_other_columns_can_be_predicted_and_measured(project):
    renamed = ["data.columns.sequence=text", "data.columns.label=intent", "+data.columns.id=id"]
    ended, found = of_file(project, *renamed, new_csv="id,text,intent\n7,play a song,music\n")
    assert (ended.code, ended.err) == (0, "")
    assert [(row["id"], row["sequence"], row["label"]) for row in found] == [("7", "play a song", "music")]
    assert project.command("evaluate", "--data", "new.csv", *renamed).code == 0


def test_bad_rows_can_be_left_out_of_an_evaluation(project):
    rows = (project.folder / "data" / "test.tsv").read_text(encoding="utf-8")
    (project.folder / "new.tsv").write_text(rows + "no label\n", encoding="utf-8")
    assert project.command("evaluate", "--data", "new.tsv").code == 7
    assert project.command("evaluate", "--data", "new.tsv", "data.on_bad_row=skip").code == 0


def test_an_evaluation_with_changed_options_has_a_file_of_its_own(project):
    assert project.command("evaluate").code == 0
    assert project.command("evaluate", "--data", "data/test.tsv", "task.max_length=3").code == 0
    found = {path.name for path in (project.folder / "runs" / "latest").glob("evaluation*")}
    assert found == {"evaluation.json", "evaluation-data-test-task.max_length=3.json"}


def test_evaluations_with_long_names_have_a_file_each_and_find_it_again(project):
    names = []
    for last in ("task.max_length=4", "task.max_length=5", "task.max_length=4"):
        assert project.command("evaluate", *["task.max_length=3"] * 8, last).code == 0
        names.append({path.name for path in (project.folder / "runs" / "latest").glob("evaluation*")})
    assert [len(found) for found in names] == [1, 2, 2]
    assert {len(name) for name in names[2]} == {150 + len(".json")}


def test_what_training_has_settled_cannot_be_changed_afterwards(project):
    ended = project.command("evaluate", "data.batch_size=2")
    assert ended.code == 2
    assert "error: 'data.batch_size=2' cannot be changed after training [data.batch_size]" in ended.err
    assert "because: expected task.KEY=VALUE, data.columns.…, data.format=…, data.on_bad_row=…" in ended.err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_not_replaced(project):
    pipe = project.folder / "pipe"
    os.mkfifo(pipe)
    predicting = project.process("-m", "scaffold.runtime", "predict", "--input", "data/test.tsv", "--output", "pipe")
    assert predicted(pipe.read_text(encoding="utf-8"))
    assert predicting.wait(timeout=60) == 0
    assert pipe.is_fifo()


def test_a_link_stays_one(project):
    (project.folder / "elsewhere.jsonl").write_text("", encoding="utf-8")
    (project.folder / "found.jsonl").symlink_to("elsewhere.jsonl")
    _, found = of_file(project, new_tsv="play a song")
    assert found
    assert (project.folder / "found.jsonl").is_symlink()

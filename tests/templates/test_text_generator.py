"""What the template's task does with rows: both sides, how targets are written, and rows that are not right."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from scaffold.errors import ConfigError, DataError

ROWS = [("a dog runs", "ein Hund läuft"), ("a man sleeps", "ein Mann schläft"), ("two men", "zwei Männer")]


@pytest.fixture
def project(new, opened):
    return opened(new("text-generator"))


def write(rows, name: str) -> Path:
    path = Path("data") / name
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def prepared(*overrides: str):
    """The data of the project in the current folder."""
    from scaffold.runtime import Backbone, DataModule, compose, model_class

    config = compose("conf", "backbone.hidden_size=32", *overrides)
    return DataModule(model_class(config), config, Backbone(**config.backbone))


def train(*overrides: str) -> dict[str, float]:
    from scaffold.runtime import compose

    return import_module("train").train(compose("conf", "experiment=smoke", "run_dir=runs/one", *overrides))


def predicted(source: str, *changes: str) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", source, "predictions.jsonl", device="cpu", changes=changes)
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_sample_is_learnt(project):
    from scaffold.runtime import compose

    metrics = import_module("train").train(compose("conf", "run_dir=runs/one"))
    assert metrics["test/bleu"] > 0.7
    assert metrics["test/chrf"] > 0.8
    assert metrics["test/perplexity"] < 2
    _, rows = predicted("data/test.tsv")
    right = sum(row["prediction"] == row["target_sequence"] for row in rows)
    assert right > 15


def test_rows_are_read_by_classys_keys_and_what_else_they_hold_is_carried_along(project):
    rows = [{"source_sequence": source, "target_sequence": target} for source, target in ROWS]
    for split in ("train", "validation", "test"):
        (project / "data" / f"{split}.tsv").unlink()
        path = project / "data" / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train("task.generation.max_new_tokens=5")
    new = [
        {"source_sequence": "a dog", "id": 7},
        {"source_sequence": "", "id": 8},
        {"source_sequence": "é 🙂", "id": 9},
    ]
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in new), encoding="utf-8")
    bad, found = predicted("new.jsonl")
    assert bad == 1
    assert [row.get("id") for row in found] == [7, None, 9]
    assert "error" in found[1]
    assert isinstance(found[0]["prediction"], str)


def test_the_columns_that_were_asked_for_are_read_from_csv(new, opened):
    opened(new("text-generator", answers={"source_column": "english", "target_column": "german text"}))
    text = "german text,english\n" + "".join(f"{target},{source}\n" for source, target in ROWS * 2)
    Path("data/more.csv").write_text(text, encoding="utf-8")
    data = prepared("data.path=data/more.csv")
    found = [(row.source_sequence, row.target_sequence) for split in ("train", "test") for row in data.rows(split)]
    assert len(found) == 5
    assert set(found) <= set(ROWS)


def test_long_sources_and_targets_are_cut_and_counted(project, caplog):
    write([("dog " * 50, "Hund"), ("dog", "Hund " * 50), ("dog", "Hund")], "train.tsv")
    store = prepared("task.max_length=8", "task.max_target_length=9").encoded("train").store
    assert [len(row["input_ids"]) for row in store] == [8, 3, 3]
    assert [len(row["labels"]) for row in store] == [2, 8, 2]
    assert store.lengths.tolist() == [8, 8, 3]
    assert "train: 2 of 3 rows were cut" in caplog.text


def test_short_sources_are_left_out_of_training_whatever_their_targets(project):
    write([*ROWS, ("a", "eins zwei drei vier fünf")], "train.tsv")
    assert len(prepared("task.min_length=4").encoded("train").left_out) == 1


def test_a_row_without_a_target_cannot_be_learnt_and_can_be_predicted(project):
    write([*ROWS, ("a dog",), ("two dogs", "")], "train.tsv")
    with pytest.raises(DataError) as caught:
        prepared().encoded("train")
    assert str(caught.value.where) == "data/train.tsv:4"
    assert "data/train.tsv:5: expected a target to learn from, got none" in str(caught.value)
    assert len(prepared("data.on_bad_row=skip").encoded("train").store) == 3
    data = prepared()
    [features] = data.task.encode(data.rows("train")[3], data.context, "predict")
    assert features.keys() == {"input_ids"}


def test_a_prefix_stands_before_every_source(project):
    data = prepared("task.prefix='say it: '")
    [features] = data.task.encode(data.rows("train")[0], data.context, "train")
    assert data.context.processor.decode(features["input_ids"]).startswith("[CLS] say it: ")


def test_a_language_is_no_setting_of_a_tokenizer_that_has_none(project):
    with pytest.raises(ConfigError, match="the tokenizer of this backbone has no languages") as caught:
        prepared("task.source_language=de_DE").encoded("train")
    assert caught.value.where.key == "task.source_language"


def test_classys_rows_with_languages_are_learnt_and_predicted_by_a_tokenizer_that_has_none(project):
    keys = ("source_sequence", "target_sequence", "source_language", "target_language")
    rows = [dict(zip(keys, (*row, "en_XX", "de_DE"), strict=True)) for row in ROWS]
    Path("classy").mkdir()
    for name in ("classy/train.jsonl", "classy/validation.jsonl", "classy/test.jsonl"):
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    train("data.path=classy", "task.generation.max_new_tokens=4")
    bad, found = predicted("classy/test.jsonl")
    assert (bad, [row["target_language"] for row in found]) == (0, ["de_DE"] * 3)


def test_a_vocabulary_of_labels_is_refused(project):
    from scaffold.runtime import Vocabulary

    Vocabulary({"labels": ["a", "b"]}).save("labels.json")
    with pytest.raises(ConfigError, match="this task has no labels to use again") as caught:
        prepared("data.vocabulary=labels.json").encoded("train")
    assert caught.value.where.key == "data.vocabulary"


# Metrics


def test_only_the_first_rows_of_validation_are_written(project, monkeypatch):
    from scaffold.runtime import generation

    sizes = []
    whole = generation.generate

    def counted(model, batch, context):
        sizes.append(len(batch["input_ids"]))
        assert len(batch.samples) == len(batch["attention_mask"]) == sizes[-1]
        return whole(model, batch, context)

    monkeypatch.setattr(import_module("mymodel.model"), "generate", counted)
    train("task.validation_rows=7", "trainer.limit_val_batches=1.0", "trainer.limit_test_batches=1.0")
    *_, first, second, third, fourth = sizes
    assert (first + second, third + fourth) == (7, 40)


@pytest.mark.parametrize(
    "metrics, logged, monitor",
    [
        ("[]", {"perplexity"}, "val/loss"),
        ("[rouge,exact_match]", {"perplexity", "rouge1", "rouge2", "rougeL", "exact_match"}, "val/rougeL"),
    ],
)
def test_the_metrics_that_are_named_are_measured_and_the_first_picks_the_checkpoint(project, metrics, logged, monitor):
    from scaffold.runtime.training import checkpoints

    found = train(f"task.metrics={metrics}", "task.generation.max_new_tokens=4", "patience=2")
    assert {name.removeprefix("test/") for name in found if name.startswith("test/")} == {"loss", *logged}
    saved = json.dumps(checkpoints.load("runs/one/checkpoints/best.ckpt")["callbacks"], default=str)
    assert monitor in saved


@pytest.mark.parametrize(
    "override, message",
    [
        ("task.metrics=[blue]", "expected metrics among bleu, chrf, rouge, exact_match, got 'blue'"),
        ("+task.generation.num_beam=4", "generate takes no 'num_beam' [task.generation.num_beam]"),
        ("+task.generation.num_return_sequences=2", "task.generation.num_return_sequences cannot be 2"),
        ("task.validation_rows=0", "expected validation_rows of at least 1"),
        ("task.max_length=0", "expected 1 <= min_length <= max_length"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_before_anything_is_read(project, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        prepared(override)


# Writing


def test_how_targets_are_written_is_changed_after_training(project):
    from scaffold.runtime.commands import evaluate

    train("task.generation.max_new_tokens=6")
    write(ROWS, "few.tsv")
    ways = ["task.generation.num_beams=3", "task.generation.num_return_sequences=3"]
    _, rows = predicted("data/few.tsv", *ways)
    assert [(len(row["candidates"]), row["candidates"][0]) for row in rows] == [(3, row["prediction"]) for row in rows]
    sampling = ["task.generation.do_sample=true", "task.generation.num_return_sequences=2"]
    _, once = predicted("data/few.tsv", *sampling)
    _, twice = predicted("data/few.tsv", *sampling)
    _, other = predicted("data/few.tsv", *sampling, "task.seed=14")
    assert once == twice != other
    _, plus = predicted("data/few.tsv", *(f"+{change}" for change in sampling))
    assert plus == once
    _, greedy = predicted("data/few.tsv")
    assert not any("candidates" in row for row in greedy)
    found = evaluate("runs/latest", "data/few.tsv", "cpu", ["task.metrics=[exact_match]"])
    assert found.keys() == {"test/loss", "test/perplexity", "test/exact_match"}


@pytest.mark.parametrize(
    "change, message",
    [
        ("data.path=x", "'data.path=x' cannot be changed after training"),
        ("task.generation.num_beam=3", "generate takes no 'num_beam' [task.generation.num_beam]"),
        ("task.max_len=3", "max_length"),
        ("task.seed", "cannot be changed after training"),
        ("task.seed=[", "the changed options cannot be read"),
    ],
)
def test_what_is_no_option_of_the_task_cannot_be_changed_after_training(project, change, message):
    train("task.generation.max_new_tokens=2", "task.metrics=[]")
    with pytest.raises(ConfigError, match=re.escape(message)):
        predicted("data/test.tsv", change)


def test_a_pretrained_model_is_fine_tuned_and_predicts_from_its_checkpoint_alone(new, opened, tiny_t5, tmp_path):
    import shutil

    folder = shutil.copytree(tiny_t5, tmp_path / "t5")
    opened(new("text-generator", answers={"backbone": "pretrained", "pretrained_name": str(folder)}))
    write(ROWS, "few.tsv")
    metrics = train("task.generation.max_new_tokens=4", "task.prefix='turn into a command: '")
    assert metrics["test/loss"] > 0
    shutil.rmtree(folder)
    bad, rows = predicted("data/few.tsv")
    assert (bad, len(rows)) == (0, 3)


def test_a_head_and_a_loss_of_ones_own_take_a_few_lines(project):
    path = Path("mymodel/model.py")
    text = path.read_text(encoding="utf-8")
    text = text.replace("from torch import Tensor\n", "from torch import Tensor, nn\n")
    text = text.replace(
        "        self.label_smoothing = label_smoothing\n",
        "        self.label_smoothing = label_smoothing\n"
        "        size = self.seq2seq.config.hidden_size\n"
        "        head = self.seq2seq.get_output_embeddings()\n"
        "        self.seq2seq.set_output_embeddings(nn.Sequential(nn.Linear(size, size), nn.Tanh(), head))\n",
    )
    text += (
        "\n    def predict_tokens(self, logits, labels, smoothing=0.0):\n"
        "        output = super().predict_tokens(logits, labels, smoothing)\n"
        "        if labels is not None:\n"
        "            output.loss = output.loss + 1e-4 * logits.logsumexp(dim=-1).square().mean()\n"
        "        return output\n"
    )
    path.write_text(text, encoding="utf-8")
    assert train("task.generation.max_new_tokens=4")["test/loss"] > 0
    write(ROWS, "few.tsv")
    bad, rows = predicted("data/few.tsv")
    assert (bad, len(rows)) == (0, 3)


OWN = """
import torch
from scaffold.runtime import Batch, GenerationOutput
from mymodel.model import Mymodel

class Own(Mymodel):
    def infer(self, batch):
        one = self.context.processor("a dog")["input_ids"]
        return GenerationOutput(sequences=torch.tensor([one + one] * len(batch["input_ids"])))

class Loud(Mymodel):
    def batch_predict(self, **batch):
        samples = batch.pop("samples")
        rows = Batch(batch, samples)
        yield from zip(samples, self.decode(self.infer(rows), rows, self.context), strict=True)
"""


def test_what_an_infer_of_ones_own_writes_is_cut_at_its_end(project):
    Path("mymodel/own.py").write_text(OWN, encoding="utf-8")
    train("model._target_=mymodel.own.Own")
    write(ROWS, "few.tsv")
    assert [row["prediction"] for row in predicted("data/few.tsv")[1]] == ["a dog"] * 3


def test_a_batch_predict_of_ones_own_has_the_candidates_of_each_row(project):
    Path("mymodel/own.py").write_text(OWN, encoding="utf-8")
    train("task.generation.max_new_tokens=4")
    write(ROWS, "few.tsv")
    beams = ["task.generation.num_beams=3", "task.generation.num_return_sequences=3"]
    _, wanted = predicted("data/few.tsv", *beams)
    train("model._target_=mymodel.own.Loud", "task.generation.max_new_tokens=4", "run_dir=runs/two")
    assert predicted("data/few.tsv", *beams)[1] == wanted


BODIES = {
    "__init__": "self.seq2seq = backbone.build('AutoModelForSeq2SeqLM')",
    "forward": (
        "inputs = {'input_ids': input_ids, 'attention_mask': attention_mask}\n"
        "        given = decoder_inputs(self.seq2seq, labels, len(input_ids))\n"
        "        return self.predict_tokens(self.seq2seq(**inputs, decoder_input_ids=given).logits, labels)"
    ),
    "infer": "return generate(self.seq2seq, batch, self.context)",
}


def test_a_bare_project_trains_once_init_forward_and_infer_are_written(new, opened):
    project = opened(new("text-generator", bare=True))
    path = project / "mymodel" / "model.py"
    head, *methods = re.split(r"\n(?=    def )", path.read_text(encoding="utf-8"))
    names = [re.match(r" +def (\w+)", method)[1] for method in methods]
    assert names == [*BODIES, "batch_predict", "training_step", "validation_step", "test_step"]
    kept = [
        re.sub(r"raise NotImplementedError\(.*\)", lambda _, name=name: BODIES[name], method)
        for name, method in zip(names, methods, strict=True)
        if name in BODIES
    ]
    head = head.replace("GenerationOutput\n", "GenerationOutput, decoder_inputs, generate\n")
    path.write_text("\n".join([head, *kept]), encoding="utf-8")
    train("task.generation.max_new_tokens=4")
    write(ROWS, "few.tsv")
    bad, rows = predicted("data/few.tsv")
    assert (bad, len(rows)) == (0, 3)

"""What the template's task does with images: where they come from, what is wrong with them, and what a test shows."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaffold.errors import ConfigError, DataError
from scaffold.runtime import DataModule, compose, load_model, model_class, predict

SHADES = {"dark": 40, "light": 210}
ROWS, PHOTOS = (f"data.path={{train: {name}, validation: {name}, test: {name}}}" for name in ("rows.tsv", "photos"))


@pytest.fixture
def project(new, opened):
    return opened(new("image-classifier"))


def picture(shade: int, number: int, size: tuple[int, int] = (12, 10)) -> Image.Image:
    noise = np.random.default_rng(number).integers(-30, 30, size[::-1])
    return Image.fromarray((shade + noise).astype(np.uint8))


def folder(path: Path, each: int = 4) -> Path:
    """Write a folder of images for each label."""
    for label, shade in SHADES.items():
        (path / label).mkdir(parents=True)
        for number in range(each):
            picture(shade, number).save(path / label / f"{number}.png")
    return path


def prepared(*overrides: str) -> DataModule:
    """The data of the project in the current folder."""
    config = compose("conf", *overrides)
    return DataModule(model_class(config), config)


def train(*overrides: str) -> dict[str, float]:
    config = compose("conf", "experiment=smoke", "run_dir=runs/one", "model.model_kwargs.width=8", *overrides)
    return import_module("train").train(config)


def predicted(source: str) -> tuple[int, list[dict[str, object]]]:
    from scaffold.runtime.commands import predict_file

    bad = predict_file("runs/latest", source, "predictions.jsonl", device="cpu")
    return bad, [json.loads(line) for line in Path("predictions.jsonl").read_text(encoding="utf-8").splitlines()]


# Where images come from


def test_folders_of_images_train_and_predict(project):
    for split in ("train", "validation", "test"):
        folder(project / "photos" / split)
    train("data.path=photos")
    bad, rows = predicted("photos/test")
    assert (bad, len(rows)) == (0, 8)
    assert [rows[0][key] for key in ("path", "label")] == ["test/dark/0.png", "dark"]
    assert all(row["prediction"] in SHADES and 0 < row["score"] <= 1 for row in rows)


def test_one_folder_is_divided_into_the_three_splits(project):
    folder(project / "photos", each=20)
    data = prepared("data.path=photos")
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [32, 4, 4]


def test_a_table_of_paths_trains_and_carries_its_other_columns_along(project):
    folder(project / "photos")
    names = sorted(path.relative_to(project) for path in (project / "photos").glob("*/*.png"))
    rows = "".join(f"{name},{name.parent.name},{number}\n" for number, name in enumerate(names))
    Path("rows.csv").write_text("file,kind,id\n" + rows, encoding="utf-8")
    splits = "{train: rows.csv, validation: rows.csv, test: rows.csv}"
    train(f"data.path={splits}", "data.columns.path=file", "data.columns.label=kind", "+data.columns.id=id")
    bad, found = predicted("rows.csv")
    assert bad == 0
    assert [(row["path"], row["label"], row["id"]) for row in found] == [
        (str(name), name.parent.name, str(number)) for number, name in enumerate(names)
    ]


def test_one_archive_may_hold_all_three_splits(project):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in {"train": 8, "validation": 4, "test": 6}.items():
        arrays |= {f"x_{split}": rng.integers(0, 17, (count, 8, 8), dtype=np.uint8), f"y_{split}": np.arange(count) % 2}
    np.savez("digits.npz", **arrays)
    data = prepared("data.path=digits.npz")
    assert [len(data.rows(split)) for split in ("train", "validation", "test")] == [8, 4, 6]
    assert data.context.vocabulary.elements("labels") == ("0", "1")
    train("data.path=digits.npz")
    from scaffold.runtime.commands import evaluate

    assert evaluate("runs/latest", "digits.npz", accelerator="cpu").keys() == {"test/accuracy", "test/f1", "test/loss"}
    assert len(predicted("digits.npz")[1]) == 18


def test_a_run_measures_the_images_of_another_folder(project):
    from scaffold.runtime.commands import evaluate

    folder(project / "photos")
    train("data.path=photos")
    folder(project / "fresh")
    assert evaluate("runs/latest", "fresh", accelerator="cpu")["test/loss"] > 0


def test_images_need_no_label_and_no_file_of_rows_to_be_predicted(project):
    from mymodel.task import ImageSample

    train()
    picture(90, 0, (31, 17)).convert("RGB").save("one.jpg")
    model = load_model("runs/latest")
    [(sample, prediction)] = predict(model, [ImageSample("one.jpg")])
    assert (sample.label, prediction.value in model.context.vocabulary.elements("labels")) == (None, True)


# What is learnt of them


@pytest.mark.parametrize(
    "overrides, shape",
    [((), (1, 10, 12)), (("task.size=16",), (1, 16, 16)), (("task.size=[9,20]", "task.channels=3"), (3, 9, 20))],
)
def test_size_and_channels_are_those_of_the_images_or_chosen(project, overrides, shape):
    folder(project / "photos")
    data = prepared("data.path=photos", *overrides)
    assert data.first_batch("validation")["pixel_values"].shape[1:] == shape
    assert data.context.facts["channels"] == shape[0]


def test_a_checkpoint_keeps_how_images_are_made_alike(project):
    folder(project / "photos")
    train("data.path=photos", "task.size=8", "task.resize=pad")
    context = load_model("runs/latest").context
    assert (context.processor.height, context.processor.resize) == (8, "pad")
    stored = json.loads(Path("runs/latest/processor.json").read_text(encoding="utf-8"))
    assert stored == vars(context.processor)
    assert not Path("runs/latest/tokenizer").exists()


def test_training_images_change_at_random_and_others_never(project):
    data = prepared()
    first, again = (data.first_batch("validation")["pixel_values"] for _ in range(2))
    assert first.equal(again)
    loader = data.loader("train")
    batches = [next(iter(loader))["pixel_values"] for _ in range(2)]
    assert batches[0].equal(batches[1])  # the same epoch and number: the same change
    loader.sampler.set_epoch(1)
    assert not batches[0].equal(next(iter(loader))["pixel_values"])
    plain = prepared("task.shift=0", "task.brightness=0")
    rows = plain.encoded("train").store.take(next(iter(plain.loader("train").sampler)).indices)
    pixels = plain.context.processor.tensors(np.stack([row["pixels"] for row in rows]))
    assert next(iter(plain.loader("train")))["pixel_values"].equal(pixels)


@pytest.mark.parametrize("override", ["task.size=0", "task.size=[1,2,3]", "task.shift=1.5", "task.brightness=-0.1"])
def test_options_that_no_image_can_have_are_refused(project, override):
    with pytest.raises(ConfigError) as found:
        prepared(override)
    assert found.value.because.startswith(("expected size to be one side", "expected shift and brightness from 0 to 1"))


def test_a_model_takes_images_of_any_size_even_one_alone(project):
    import torch

    model = import_module("mymodel.model").Mymodel(channels=2, num_labels=3, width=8)
    for size in ((1, 1), (5, 17), (64, 3)):
        output = model.train()(torch.zeros(1, 2, *size), labels=torch.tensor([2]))
        output.loss.backward()
        assert output.logits.shape == (1, 3)


# Images that are not as they should be


def test_images_that_cannot_be_read_are_named_with_their_rows(project):
    folder(project / "photos")
    path = project / "photos/light/1.png"
    path.write_bytes(path.read_bytes()[:60])
    Path("rows.tsv").write_text(
        "photos/dark/0.png\tdark\nphotos/dark/9.png\tdark\nphotos/light/1.png\tlight\nphotos/light/2.png\tlight\n"
    )
    with pytest.raises(DataError) as found:
        prepared(ROWS).encoded("train")
    assert (found.value.exit_code, str(found.value.where)) == (7, "rows.tsv:2")
    assert "rows.tsv:2: there is no image 'photos/dark/9.png'" in str(found.value)
    assert "rows.tsv:3: expected a whole image, got 'photos/light/1.png'" in str(found.value)
    skipping = prepared(ROWS, "data.on_bad_row=skip")
    assert len(skipping.encoded("train").store) == 2
    with pytest.raises(DataError, match=r"photos/light/1\.png") as found:
        prepared(PHOTOS).encoded("train")
    assert str(found.value.where) == "photos:6"


def test_a_bad_image_keeps_its_place_among_the_predictions(project):
    train()
    folder(project / "photos", each=1)
    Path("rows.tsv").write_text("photos/dark/0.png\nphotos/none.png\nphotos/light/0.png\n", encoding="utf-8")
    bad, rows = predicted("rows.tsv")
    assert bad == 1
    assert ["prediction" in row for row in rows] == [True, False, True]
    assert (rows[1]["row"], rows[1]["line"]) == (2, 2)
    assert "there is no image" in rows[1]["error"]


def test_an_image_without_a_label_cannot_be_learnt(project):
    folder(project / "photos")
    picture(90, 0).save("photos/loose.png")
    with pytest.raises(DataError, match="expected a label, got none"):
        prepared(PHOTOS).encoded("train")


@pytest.mark.parametrize("label, found", [("dark", "the only label is 'dark'"), ("", "no row has a label")])
def test_images_of_one_label_or_none_are_no_task(project, label, found):
    (project / "photos" / label).mkdir(parents=True)
    for number in range(20):
        picture(40, number).save(project / "photos" / label / f"{number}.png")
    with pytest.raises(DataError, match="Expected at least two different labels") as problem:
        prepared("data.path=photos").context  # noqa: B018
    assert problem.value.because == found
    assert problem.value.fix.startswith("put the images of each label into a folder of its name")


def test_a_folder_may_mix_sizes_colours_and_what_is_transparent(project):
    for label, shade in SHADES.items():
        (project / "photos" / label).mkdir(parents=True)
        for number, mode in enumerate(["L", "RGB", "RGBA", "P", "LA", "1"] * 3):
            gray = picture(shade, number, (8 + number, 20 - number))
            image = Image.merge("RGB", (gray, gray, Image.new("L", gray.size))) if mode == "RGB" else gray.convert(mode)
            image.save(f"photos/{label}/{number}.png")
    train("data.path=photos")
    assert load_model("runs/latest").context.processor.channels == 3
    bad, rows = predicted("photos")
    assert (bad, len(rows)) == (0, 36)


# What a test leaves behind


def test_the_report_shows_what_was_mistaken_for_what(project):
    train("trainer.max_epochs=1")
    run = Path("runs/latest")
    matrix = json.loads((run / "confusion_matrix.json").read_text(encoding="utf-8"))
    assert matrix["labels"] == ["circle", "cross", "square", "triangle"]
    counts = np.array(matrix["counts"])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert np.trace(counts) / counts.sum() == pytest.approx(metrics["test/accuracy"], abs=1e-6)
    mistakes = json.loads((run / "mistakes.json").read_text(encoding="utf-8"))
    assert len(mistakes) == min(40, counts.sum() - np.trace(counts))
    scores = [mistake["label_score"] for mistake in mistakes]
    assert scores == sorted(scores)
    assert all(one["label"] != one["prediction"] and one["path"].startswith("test.npz#x/") for one in mistakes)
    for name in ("confusion_matrix.png", "mistakes.png"):
        with Image.open(run / name) as image:
            assert image.mode == "RGB"
            assert min(image.size) > 100


def test_an_evaluation_has_pictures_too_named_by_what_was_evaluated(project):
    from scaffold.runtime.commands import evaluate

    train("trainer.max_epochs=1")
    run = Path("runs/latest")
    before = {path.name: path.read_bytes() for path in run.glob("*.json")}
    evaluate("runs/latest", accelerator="cpu")
    evaluate("runs/latest", "data/validation.npz", accelerator="cpu")
    assert all((run / name).read_bytes() == content for name, content in before.items())
    for file in ("confusion_matrix.json", "confusion_matrix.png", "mistakes.json", "mistakes.png"):
        assert (run / f"evaluation-{file}").is_file()
        assert (run / f"evaluation-data-validation-{file}").is_file()
    mistakes = json.loads((run / "evaluation-data-validation-mistakes.json").read_text(encoding="utf-8"))
    assert {mistake["path"].partition("#")[0] for mistake in mistakes} == {"validation.npz"}


OWN_REPORT = """
from scaffold.runtime import Report


class Seen(Report):
    def begin(self, module):
        self.rows = 0

    def add(self, output, batch):
        self.rows += len(batch["labels"])

    def write(self, folder, rows):
        (folder / f"{self.prefix}seen.txt").write_text(f"{self.rows} of {len(rows)}")
"""


@pytest.mark.parametrize("script", ["train", "train_loop", "train_hf"])
def test_a_report_of_ones_own_is_asked_by_every_training_loop_and_by_evaluate(project, script):
    from scaffold.runtime.commands import evaluate

    (project / "mymodel" / "seen.py").write_text(OWN_REPORT, encoding="utf-8")
    settings = ("trainer.callbacks=[{_target_: mymodel.seen.Seen}]", "trainer.limit_test_batches=1.0")
    import_module(script).train(compose("conf", "experiment=smoke", "run_dir=runs/one", *settings))
    assert Path("runs/one/seen.txt").read_text(encoding="utf-8") == "48 of 48"
    evaluate("runs/one", "data/validation.npz", accelerator="cpu")
    assert Path("runs/one/evaluation-data-validation-seen.txt").read_text(encoding="utf-8") == "36 of 36"


def test_a_model_with_a_test_step_of_its_own_that_returns_nothing_gets_no_report(project, caplog):
    path = project / "mymodel" / "task.py"
    step = "\n    def test_step(self, batch, batch_idx):\n        self.log('test/own', 1.0)\n"
    path.write_text(path.read_text(encoding="utf-8") + step, encoding="utf-8")
    train()
    assert "test_step returns no output" in caplog.text
    assert not Path("runs/latest/confusion_matrix.png").exists()


def test_digits_are_recognised(project, real_data):
    archive = real_data("image/digits") / "digits.npz"
    config = compose("conf", f"data.path={archive}", "run_dir=runs/one", "trainer.max_epochs=10")
    assert import_module("train").train(config)["test/accuracy"] > 0.98

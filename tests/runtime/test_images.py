"""Images of every kind: their pixels, the rows that name them, and what training learns of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scaffold.errors import DataError, EnvironmentFault
from scaffold.runtime import BadRow, ImageFile, ImageNormaliser, augment
from scaffold.runtime.images.decoding import as_bytes, read_file
from scaffold.runtime.images.pictures import AXES, LINE, MARGIN, confusion_picture, font_of
from scaffold.runtime.reading.formats import Schema
from scaffold.runtime.reading.readers import find_splits
from scaffold.runtime.reading.rows import read_rows, stream_rows

RAMP = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save an image, and return its path."""

    def save(image: Image.Image, name: str = "image.png", **options: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    return save


# Files


@pytest.mark.parametrize("mode, channels", [("1", 1), ("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3)])
def test_gray_has_one_channel_and_colour_three(saved, mode, channels):
    assert read_file(saved(Image.new("RGB", (4, 3), "red").convert(mode))).shape == (3, 4, channels)


def test_cmyk_is_read_as_colour(saved):
    assert read_file(saved(Image.new("CMYK", (4, 3)), "image.jpg")).shape == (3, 4, 3)


def test_what_is_transparent_is_laid_on_white(saved):
    image = Image.new("RGBA", (2, 1), (255, 0, 0, 0))
    image.putpixel((1, 0), (255, 0, 0, 255))
    assert read_file(saved(image)).tolist() == [[[255, 255, 255], [255, 0, 0]]]


def test_a_transparent_colour_of_a_palette_is_white_too(saved):
    image = Image.new("P", (1, 1), 0)
    image.putpalette([0, 0, 255])
    assert read_file(saved(image, transparency=0)).tolist() == [[[255, 255, 255]]]


def test_sixteen_bits_are_cut_to_eight(saved):
    image = Image.fromarray(np.array([[0, 256, 65535]], dtype=np.uint16))
    assert read_file(saved(image)).ravel().tolist() == [0, 1, 255]


def test_an_image_is_turned_as_its_orientation_says(saved):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(Image.fromarray(RAMP), "image.png", exif=exif)
    assert read_file(path)[..., 0].tolist() == np.rot90(RAMP, -1).tolist()


def test_of_an_animation_the_first_image_counts(saved):
    frames = [Image.new("L", (2, 2), shade) for shade in (10, 200)]
    assert read_file(saved(frames[0], "image.gif", save_all=True, append_images=frames[1:])).max() == 10


def test_an_image_that_is_missing_cut_off_or_none_says_what_to_do(saved, tmp_path):
    path = saved(Image.effect_noise((64, 64), 60))
    path.write_bytes(path.read_bytes()[:1000])
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    (tmp_path / "folder.png").mkdir()
    for name, expected in {
        "image.png": r"expected a whole image, got .*image.png': .*; replace it",
        "text.png": r"expected an image, got .*text.png', which Pillow cannot read: convert it",
        "folder.png": r"folder.png': Is a directory; replace it",
        "absent.png": r"there is no image .*absent.png'; paths are relative to the file they stand in",
    }.items():
        with pytest.raises(BadRow, match=expected):
            read_file(tmp_path / name)


@pytest.mark.parametrize(
    "values, expected",
    [
        (np.array([0.0, 0.5, 1.0]), [0, 128, 255]),
        (np.array([0.0, 100.4, 255.0]), [0, 100, 255]),
        (np.array([False, True]), [0, 255]),
        (np.array([0, 16], dtype=np.int64), [0, 16]),
        (np.array([0, 65535], dtype=np.uint16), [0, 255]),
    ],
)
def test_numbers_of_several_ranges_become_bytes(values, expected):
    assert as_bytes(values).tolist() == expected


@pytest.mark.parametrize("values", [[-1, 5], [0, 70000], [0.0, np.nan], [0.0, 300.0]])
def test_numbers_outside_these_ranges_are_refused(values):
    with pytest.raises(BadRow, match="expected pixels from 0 to 1, to 255 or to 65,535"):
        as_bytes(np.array(values))


# Rows


def rows_of(path: Path, **schema: object) -> list[ImageFile]:
    return list(read_rows([path], Schema(ImageFile, **schema)))


def test_a_folder_of_folders_gives_paths_and_labels_in_order(saved, tmp_path):
    for name in ("photos/dog/2.JPG", "photos/cat/deep/1.png", "photos/cat/.hidden.png", "photos/dog/1.png"):
        saved(Image.new("RGB", (2, 2)), name, format="png")
    (tmp_path / "photos/cat/notes.txt").write_text("no image", encoding="utf-8")
    rows = rows_of(tmp_path / "photos")
    assert [(row.path, row.extra["label"]) for row in rows] == [
        ("photos/cat/deep/1.png", "cat"),
        ("photos/dog/1.png", "dog"),
        ("photos/dog/2.JPG", "dog"),
    ]
    assert [row.pixels().shape for row in rows] == [(2, 2, 3)] * 3


def test_images_that_lie_in_no_folder_of_their_own_have_no_label(saved, tmp_path):
    saved(Image.new("L", (2, 2)), "photos/1.png")
    assert [row.extra.get("label") for row in stream_rows(tmp_path / "photos", Schema(ImageFile))] == [None]


def test_a_name_with_a_tab_or_a_quote_is_read_like_any_other(saved, tmp_path):
    saved(Image.new("L", (2, 2)), 'photos/a\t"b"/ü.png')
    [row] = rows_of(tmp_path / "photos")
    assert (row.extra["label"], row.pixels().shape) == ('a\t"b"', (2, 2, 1))


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match=r"The folder holds no images\.") as found:
        rows_of(tmp_path / "photos")
    assert "one folder for each label" in found.value.fix


def test_a_folder_of_an_archive_is_told_to_name_it(tmp_path):
    archive(tmp_path / "digits.npz", x=[RAMP])
    with pytest.raises(DataError) as caught:
        rows_of(tmp_path)
    assert caught.value.fix == f"did you mean {tmp_path / 'digits.npz'}?"


def test_a_folder_that_changes_while_it_is_in_use_is_noticed(saved, tmp_path):
    saved(Image.new("L", (2, 2)), "photos/1.png")
    rows = read_rows([tmp_path / "photos"], Schema(ImageFile))
    saved(Image.new("L", (2, 2)), "photos/2.png")
    with pytest.raises(DataError, match="changed while it was in use"):
        rows[0]


def test_paths_in_a_table_are_relative_to_the_table(saved, tmp_path, monkeypatch):
    saved(Image.new("L", (5, 2)), "data/images/1.png")
    (tmp_path / "data/train.tsv").write_text("images/1.png\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path / "data")
    for path in (tmp_path / "data/train.tsv", Path("train.tsv")):
        [row] = rows_of(path)
        assert row.pixels().shape == (2, 5, 1)


def archive(path: Path, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_an_archive_names_its_images_by_array_and_place(tmp_path):
    path = archive(tmp_path / "all.npz", x=np.stack([RAMP, RAMP + 1]), y=np.array(["low", "high"]))
    rows = rows_of(path)
    assert [(row.path, row.extra["label"]) for row in rows] == [("all.npz#x/0", "low"), ("all.npz#x/1", "high")]
    assert rows[1].pixels()[..., 0].tolist() == (RAMP + 1).tolist()


@pytest.mark.parametrize("names", [("x_train", "y_train", "x_test"), ("train_images", "train_labels", "test_images")])
def test_an_archive_may_hold_the_splits_itself(tmp_path, names):
    images, labels, others = names
    path = archive(tmp_path / "all.npz", **{images: [RAMP] * 3, labels: [[0], [1], [2]], others: [RAMP]})
    assert find_splits(path, ImageFile.formats) == {"test": [path], "train": [path]}
    assert [row.extra["label"] for row in rows_of(path, split="train")] == ["0", "1", "2"]
    assert [row.path for row in rows_of(path, split="test")] == [f"all.npz#{others}/0"]
    assert len(rows_of(path)) == 4


def test_channels_may_stand_before_or_after_the_places(tmp_path):
    path = archive(tmp_path / "first.npz", x=np.zeros((2, 3, 8, 6), dtype=np.uint8))
    assert rows_of(path)[0].pixels().shape == (8, 6, 3)
    path = archive(tmp_path / "last.npz", x=np.zeros((2, 8, 6, 3), dtype=np.uint8))
    assert rows_of(path)[0].pixels().shape == (8, 6, 3)


@pytest.mark.parametrize(
    "arrays, expected",
    [
        ({"pictures": [RAMP]}, "expected an array x or images, also x_train and the like, got 'pictures'"),
        ({"x": [RAMP], "y": [1, 2]}, "expected a label for each image, got y of shape (2,) for 1 images"),
        ({"x": [1, 2]}, "expected the shape (images, height, width) or one with channels, got (2,)"),
        ({"x": [[[-1.0]]]}, "expected pixels from 0 to 1, to 255 or to 65,535, got float64 from -1.0 to -1.0"),
        ({"x": np.array([None, "cat"], dtype=object)}, "expected what numpy.savez writes"),
    ],
)
def test_an_archive_of_another_kind_is_refused_as_a_whole(tmp_path, arrays, expected):
    with pytest.raises(DataError) as found:
        rows_of(archive(tmp_path / "all.npz", **arrays))
    assert expected in str(found.value)
    assert found.value.where.file == str(tmp_path / "all.npz")


def test_an_archive_that_is_cut_off_is_refused(tmp_path):
    path = archive(tmp_path / "all.npz", x=[RAMP])
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"The archive cannot be read\."):
        rows_of(path)


@pytest.mark.parametrize(
    "place, expected",
    [
        ("all.npz#x/7", "expected an image of x from 0 to 0, got '7'"),
        ("all.npz#x/-1", "expected an image of x from 0 to 0, got '-1'"),
        ("all.npz#z/0", "The archive has no array"),
        ("none.npz#x/0", "does not exist|there is no archive"),
    ],
)
def test_a_place_that_an_archive_does_not_have_is_a_bad_row(tmp_path, monkeypatch, place, expected):
    archive(tmp_path / "all.npz", x=[RAMP])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadRow, match=expected):
        ImageFile(place).pixels()


def test_a_folder_is_divided_into_splits_by_its_folders(saved, tmp_path):
    for name in ("train/cat/1.png", "val/cat/1.png", "test/cat/1.png"):
        saved(Image.new("L", (2, 2)), f"data/{name}")
    found = find_splits(tmp_path / "data", ImageFile.formats)
    assert {split: [path.name for path in paths] for split, paths in found.items()} == {
        "train": ["train"],
        "validation": ["val"],
        "test": ["test"],
    }
    assert find_splits(tmp_path / "data" / "train", ImageFile.formats) == {"all": [tmp_path / "data" / "train"]}


def test_rows_of_text_know_neither_folders_nor_archives(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match=r"holds no data file"):
        find_splits(tmp_path)


def test_without_pillow_the_person_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    for name in [name for name in sys.modules if name.startswith("scaffold.runtime.images")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(EnvironmentFault) as found:
        import scaffold.runtime.images  # noqa: F401
    assert "pip install 'scaffold-ml[image]'" in str(found.value)


@pytest.mark.parametrize("name", [".", "photos/..", "photos/deep/.."])
def test_a_folder_may_be_named_by_dots(saved, tmp_path, monkeypatch, name):
    saved(Image.new("L", (2, 2)), "photos/deep/1.png")
    monkeypatch.chdir(tmp_path)
    [row] = rows_of(Path(name))
    assert row.pixels().shape == (2, 2, 1)


# What is learnt of the training images


def files(tmp_path: Path, *images: Image.Image) -> list[ImageFile]:
    for number, image in enumerate(images):
        image.save(tmp_path / f"{number}.png")
    return [ImageFile(str(tmp_path / f"{number}.png")) for number in range(len(images))]


def test_size_and_channels_are_those_of_the_training_images(tmp_path):
    samples = files(tmp_path, *(Image.new("RGB", size, (9, 9, 9)) for size in ((8, 6), (8, 6), (30, 6))))
    found = ImageNormaliser.fit([*samples, ImageFile("absent.png")])
    assert (found.height, found.width, found.channels) == (6, 8, 1)  # colours that are shades of gray
    found = ImageNormaliser.fit(files(tmp_path, Image.new("RGB", (8, 6), "red"), Image.new("L", (8, 6))))
    assert found.channels == 3


def test_large_images_are_made_smaller_unless_a_size_is_chosen(tmp_path):
    samples = files(tmp_path, Image.new("L", (896, 448)))
    found = ImageNormaliser.fit(samples)
    assert (found.height, found.width) == (112, 224)
    assert ImageNormaliser.fit(samples, size=[300, 400]).pixels(samples[0].pixels()).shape == (300, 400, 1)


def test_training_images_have_a_mean_of_0_and_a_deviation_of_1(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 200, (6, 5, 3), dtype=np.uint8) for _ in range(70)]
    found = ImageNormaliser.fit(files(tmp_path, *map(Image.fromarray, arrays)))
    values = np.stack(arrays) / 255
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(found.std, values.std(axis=(0, 1, 2)), atol=1e-5)
    tensors = found.tensors(np.stack(arrays))
    assert tensors.shape == (70, 3, 6, 5)
    assert tensors.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (tensors.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-2


def test_one_shade_everywhere_does_not_divide_by_zero(tmp_path):
    found = ImageNormaliser.fit(files(tmp_path, Image.new("L", (2, 2), 50)))
    assert found.tensors(np.full((1, 2, 2, 1), 50, dtype=np.uint8)).abs().max() < 1e-3


@pytest.mark.parametrize("resize, left", [("crop", 100), ("pad", 0), ("stretch", 100)])
def test_an_image_of_another_shape_is_cropped_padded_or_stretched(resize, left):
    normaliser = ImageNormaliser(4, 4, 1, resize, [0.0], [1.0])
    found = normaliser.pixels(np.full((8, 4, 1), 100, dtype=np.uint8))
    assert found.shape == (4, 4, 1)
    assert found[2, 0, 0] == left


def test_gray_becomes_colour_and_colour_gray_but_five_channels_fit_nothing():
    gray, colour = np.full((2, 2, 1), 100, np.uint8), np.array([[[255, 0, 0]]], np.uint8)
    assert ImageNormaliser(2, 2, 3, "crop", [0.0] * 3, [1.0] * 3).pixels(gray).tolist() == [[[100] * 3] * 2] * 2
    assert ImageNormaliser(1, 1, 1, "crop", [0.0], [1.0]).pixels(colour).tolist() == [[[76]]]
    with pytest.raises(BadRow, match="expected an image of 3 channels, as in training, got one of 5"):
        ImageNormaliser(2, 2, 3, "crop", [0.0] * 3, [1.0] * 3).pixels(np.zeros((2, 2, 5), np.uint8))


def test_five_channels_are_fitted_and_resized_like_any_other(tmp_path):
    path = archive(tmp_path / "bands.npz", x=np.random.default_rng(0).integers(0, 255, (4, 8, 9, 5), dtype=np.uint8))
    found = ImageNormaliser.fit(read_rows([path], Schema(ImageFile)), size=6)
    assert (found.channels, found.pixels(ImageFile(f"{path}#x/0").pixels()).shape) == (5, (6, 6, 5))


def test_the_normaliser_is_plain_data():
    normaliser = ImageNormaliser(4, 4, 1, "crop", [0.5], [0.25])
    assert ImageNormaliser(**json.loads(json.dumps(vars(normaliser)))) == normaliser


# Random changes


IMAGES = np.random.default_rng(1).integers(0, 256, (64, 6, 8, 3), dtype=np.uint8)


def test_nothing_is_changed_unless_it_is_asked_for():
    assert (augment(IMAGES, np.random.default_rng(0)) == IMAGES).all()


def test_the_same_generator_makes_the_same_changes():
    options = {"shift": 0.3, "flip": True, "brightness": 0.2}
    first, second, other = (augment(IMAGES, np.random.default_rng(seed), **options) for seed in (7, 7, 8))
    assert (first == second).all()
    assert (first != other).any()


def test_half_of_the_images_are_mirrored():
    found = augment(IMAGES, np.random.default_rng(0), flip=True)
    mirrored = (found == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((found == IMAGES).all(axis=(1, 2, 3)) | mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_images_are_moved_in_all_directions_by_no_more_than_was_said():
    dot = np.zeros((200, 11, 11, 1), dtype=np.uint8)
    dot[:, 5, 5] = 255
    found = augment(dot, np.random.default_rng(0), shift=0.2)[..., 0]
    places = np.argwhere(found)[:, 1:] - 5
    assert len(places) == 200
    assert {tuple(limits) for limits in (places.min(axis=0), places.max(axis=0))} == {(-2, -2), (2, 2)}


def test_what_comes_in_repeats_the_edge():
    image = np.full((50, 4, 4, 1), 9, dtype=np.uint8)
    assert (augment(image, np.random.default_rng(0), shift=0.5) == 9).all()


def test_brightness_scales_an_image_as_a_whole_and_stays_within_bounds():
    found = augment(IMAGES, np.random.default_rng(0), brightness=0.5)
    shares = found / np.maximum(IMAGES, 1)
    assert (shares.max(axis=(1, 2, 3)) >= 0.5).all()
    assert 0.5 <= shares[found < 255].max() <= 1.5
    assert found.max() <= 255


@pytest.mark.parametrize("names", [["a", "b"], ["a rather long name for it", "b"], [f"label {n}" for n in range(40)]])
def test_a_confusion_matrix_is_as_wide_as_its_words(names):
    font = font_of(12)
    picture = np.asarray(confusion_picture(np.eye(len(names), dtype=np.int64), names).convert("L"))
    below = picture[-MARGIN - LINE :, :]
    dark = np.flatnonzero((below < 128).any(axis=0))
    assert dark[-1] - dark[0] >= font.getlength(AXES) - 4  # the last letter is whole
    assert dark[-1] < picture.shape[1] - 1

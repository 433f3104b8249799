"""Images in the arrays of a NumPy archive (`.npz`): which arrays belong together, and one image of them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from scaffold.errors import DataError, listed, shown
from scaffold.runtime.images.decoding import Pixels, as_bytes
from scaffold.runtime.reading.lines import file_error, open_data
from scaffold.runtime.reading.readers import NAMES
from scaffold.runtime.samples import BadRow

LABELS_OF = {"x": "y", "images": "labels"}
_SPLIT = "|".join(NAMES)
_NAME = re.compile(rf"(?:(?P<before>{_SPLIT})_)?(?P<kind>x|images)(?:_(?P<after>{_SPLIT}))?", re.IGNORECASE)
FAULTS = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class Stack(NamedTuple):
    """An array of images in an archive, the array of their labels, and the split that their names tell."""

    images: str
    labels: str | None
    split: str | None


def stacks(path: Path) -> list[Stack]:
    """Return the arrays of images in an archive: `x` and `y`, `x_train` and `y_train`, `test_images` and the like."""
    names = _names(path)
    found = [stack for name in names if (stack := _stack(name, names))]
    if not found:
        raise file_error(
            path,
            "The archive holds no images.",
            because=f"expected an array x or images, also x_train and the like, got {listed(map(shown, names))}",
            fix="name the arrays so",
        )
    return found


def labels_of(path: Path, stack: Stack) -> list[Any]:
    """Return the label of each image of a stack, as text or number; None where the archive has none."""
    count = len(images_of(path, stack.images))
    if stack.labels is None:
        return [None] * count
    labels = _read(path, stack.labels)
    if labels.size != count or len(labels) != count:
        raise file_error(
            path,
            "The arrays of the archive do not fit together.",
            because=f"expected a label for each image, got {stack.labels} of shape {labels.shape} for {count} images",
            fix=f"write one label each into {stack.labels}",
        )
    return [str(label) for label in labels.reshape(-1).tolist()]


def images_of(path: Path, name: str) -> Pixels:
    """Return the images of an array: (images, height, width, channels) bytes."""
    status = path.stat()
    return _images(path, name, (status.st_size, status.st_mtime_ns))


def image_at(path: Path, place: str) -> Pixels:
    """Return one image, as in `x_train/17`; raises BadRow where there is none."""
    name, _, number = place.rpartition("/")
    try:
        images = images_of(path, name)
    except FileNotFoundError:
        raise BadRow(f"there is no archive {shown(str(path))}; paths are relative to the file they stand in") from None
    except DataError as problem:
        raise BadRow(f"{problem.what} {shown(str(path))}: {problem.because}") from None
    if not number.isdecimal() or int(number) >= len(images):
        raise BadRow(f"expected an image of {name} from 0 to {len(images) - 1}, got {shown(number)}")
    return images[int(number)]


@lru_cache(maxsize=1)  # the rows of an archive are read one after another
def _images(path: Path, name: str, stamp: tuple[int, int]) -> Pixels:  # noqa: ARG001 - another file is another entry
    values = _read(path, name)
    if values.ndim not in (3, 4):
        raise file_error(
            path,
            f"The array {name} holds no images.",
            because=f"expected the shape (images, height, width) or one with channels, got {values.shape}",
            fix="give it that shape",
        )
    try:
        found = as_bytes(values)
    except BadRow as problem:
        raise file_error(path, f"The array {name} holds no images.", because=str(problem), fix="scale them") from None
    if values.ndim == 3:
        return found[..., None]
    return found if values.shape[3] <= values.shape[1] else found.transpose(0, 2, 3, 1)


def _stack(name: str, names: Iterable[str]) -> Stack | None:
    match = _NAME.fullmatch(name)
    if not match:
        return None
    before, kind, after = match.group("before", "kind", "after")
    wanted = "_".join(part for part in (before, LABELS_OF[kind.lower()], after) if part).lower()
    split = (before or after or "").lower()
    return Stack(name, next((other for other in names if other.lower() == wanted), None), NAMES.get(split))


def _names(path: Path) -> list[str]:
    return _opened(path, lambda archive: sorted(archive.files))


def _read(path: Path, name: str) -> npt.NDArray[Any]:
    return _opened(path, lambda archive: archive[name])


def _opened(path: Path, read: Any) -> Any:
    with open_data(path, regular=True) as handle:
        try:
            # no pickles: an array of objects could run code
            with np.load(handle, allow_pickle=False) as archive:
                return read(archive)
        except KeyError as problem:
            raise file_error(path, f"The archive has no array {problem}.", fix="check its name") from None
        except (*FAULTS, AttributeError, TypeError) as problem:
            raise file_error(
                path,
                "The archive cannot be read.",
                because=f"expected what numpy.savez writes: {problem}",
                fix="write it again; labels as texts or numbers, not as objects",
            ) from None

"""Rows that name images: in a table with their labels, as the files of a folder, or in the arrays of an archive."""

from __future__ import annotations

import json
import os
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, ClassVar

from scaffold.errors import listed
from scaffold.runtime.images.archives import image_at, labels_of, stacks
from scaffold.runtime.images.decoding import Pixels, read_file
from scaffold.runtime.reading.formats import FOLDER, Decode, Format, Jsonl, Schema
from scaffold.runtime.reading.lines import file_error
from scaffold.runtime.samples import Sample

ARCHIVE = ".npz"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")


class Listing(Format):
    """What holds images instead of lines: its rows are listed in an unnamed temporary file, one JSON object each."""

    @abstractmethod
    def listed(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield a row for each image: its path, from the folder in which `path` lies, and its label."""

    def open(self, path: Path, *, regular: bool = False) -> IO[bytes]:  # noqa: ARG002 - it can be read again
        """Return the list, as old as what it lists, so that a change of that is seen."""
        changed = path.stat().st_mtime_ns if path.exists() else 0
        handle = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads it closes it
        for row in self.listed(path):
            handle.write(json.dumps(row).encode() + b"\n")
        handle.flush()
        os.utime(handle.fileno(), ns=(changed, changed))
        handle.seek(0)
        return handle

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:
        """Return what makes a sample of a row; the columns of the person's own files are not those of the list."""
        return Jsonl().decoder(replace(schema, columns={}, carry=True), header, name)


class ImageFolder(Listing):
    """The images below a folder; the first folder below it that one lies in is its label."""

    def listed(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield them in the order of their names; raises DataError where there is none."""
        root, count = Path(os.path.abspath(path)), 0  # noqa: PTH100 - a link keeps its own name
        for folder, below, files in os.walk(root, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            inside = Path(folder).relative_to(root)
            for name in sorted(file for file in files if _is_image(file)):
                count += 1
                yield {"path": str(root.name / inside / name), "label": inside.parts[0] if inside.parts else None}
        if not count:
            archives = sorted(path.glob(f"*{ARCHIVE}"))
            raise file_error(
                path,
                "The folder holds no images.",
                because=f"expected files that end in {listed(SUFFIXES, 20)}",
                fix=f"did you mean {archives[0]}?"
                if archives
                else "name a folder with such files, in one folder for each label",
            )


@dataclass(frozen=True)
class Archive(Listing):
    """The images in a NumPy archive: `x` and `y`, or `x_train`, `y_train`, `x_test` and so on for several splits."""

    split: str | None = None

    def splits(self, path: Path) -> tuple[str, ...]:
        """Return the splits that the names of its arrays tell."""
        return tuple(dict.fromkeys(stack.split for stack in stacks(path) if stack.split))

    def of_split(self, split: str) -> Format:
        """Return the format that reads one split where an archive holds several."""
        return replace(self, split=split)

    def listed(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the images of each array in their order."""
        found = stacks(path)
        for stack in [one for one in found if one.split == self.split] or found:
            for number, label in enumerate(labels_of(path, stack)):
                yield {"path": f"{path.name}#{stack.images}/{number}", "label": label}


@dataclass
class ImageFile(Sample):
    """A row that names an image: a file, or a place in an archive (`digits.npz#x_train/17`).

    A path is relative to the folder in which the file of rows lies. Besides tables, folders and archives are read.
    """

    formats: ClassVar[Mapping[str, Any]] = {ARCHIVE: Archive(), FOLDER: ImageFolder()}
    label_help: ClassVar[str] = "put the images of each label into a folder of its name, or see to data.columns"

    path: str

    def pixels(self) -> Pixels:
        """Return the image as (height, width, channels) bytes; raises BadRow where it cannot be had."""
        folder = _folder_of(self.origin.file) if self.origin else Path()
        name, mark, place = self.path.rpartition("#")
        if mark and name.lower().endswith(ARCHIVE):
            return image_at(folder / name, place)
        return read_file(folder / self.path)


def _folder_of(file: str) -> Path:
    path = Path(file)
    # of "." and "data/..", only the full path tells what lies above
    return path.parent if path.name not in ("", "..") else Path(os.path.abspath(path)).parent  # noqa: PTH100


def _is_image(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)

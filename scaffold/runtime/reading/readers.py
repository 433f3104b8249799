"""From what `data.path` names to the rows of each split: folders, files, or one file that is divided."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from scaffold.errors import ConfigError, DataError, Where, listed, shown
from scaffold.runtime.reading.conll import Conll
from scaffold.runtime.reading.formats import FOLDER, FORMATS, Format, Schema, format_of, register_format
from scaffold.runtime.reading.lines import file_error
from scaffold.runtime.reading.rows import Finding, Rows, bad_rows, read_rows, stream_rows
from scaffold.runtime.sampler import shuffled

__all__ = [
    "Finding",
    "Rows",
    "Schema",
    "bad_rows",
    "find_splits",
    "format_of",
    "read_rows",
    "register_format",
    "split_rows",
    "stream_rows",
]

register_format(".conll", Conll())
register_format(".conllu", Conll(tokens=1, labels=3, numbered=True))

PATH_KEY = "data.path"
NAMED = f"'{PATH_KEY}={{train: rows/a.tsv, validation: rows/b.tsv, test: rows/c.tsv}}'"
WHOLE = "all"
NAMES = {name: name for name in ("train", "validation", "test")} | dict.fromkeys(("val", "valid", "dev"), "validation")
PART = re.compile(rf"({'|'.join(NAMES)})([._-]\d+(-of-\d+)?)?")

DataPath = str | Path | Mapping[str, str | Path | Sequence[str | Path]]


def find_splits(path: DataPath, own: Mapping[str, Format] | None = None) -> dict[str, list[Path]]:
    """Return the files of each split: of a folder's train.*, validation.* and test.*, or as a mapping names them.

    A split may be one file (train.tsv), several (train.1.tsv, train-00001-of-00004.tsv) or a folder of them (train/);
    val, valid and dev stand for validation. A single file is returned as the split "all", for `split_rows`, unless its
    format knows splits in it; so is a folder without such files where the rows' own formats read folders.
    """
    formats = FORMATS | dict(own or {})
    if isinstance(path, Mapping):
        return _named_splits(path, formats)
    folder = Path(path)
    if not folder.is_dir():
        if not folder.exists():
            raise file_error(folder, "The data does not exist.", fix=f"check {PATH_KEY}")
        form = formats.get(folder.suffix.lower())
        splits = form.splits(folder) if form else ()
        return {split: [folder] for split in splits or (WHOLE,)}
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir(), key=_natural):
        match = PART.fullmatch(entry.name if entry.is_dir() else entry.stem)
        if match and (entry.is_dir() or entry.suffix.lower() in formats):
            found.setdefault(NAMES[match[1]], []).extend(_files_in(entry, formats) if entry.is_dir() else [entry])
    if not found and FOLDER in formats:
        return {WHOLE: [folder]}
    if not found:
        raise file_error(
            folder,
            "The data folder holds no train, validation or test file.",
            because=f"expected {listed(f'train{suffix}' for suffix in FORMATS)}, got {_contents(folder)}",
            fix=f"rename the files, or name them: {NAMED}",
        )
    for split, files in found.items():
        _check_one_source(folder, split, files)
    return {split: found[split] for split in dict.fromkeys(NAMES.values()) if split in found}


def split_rows(rows: Rows, fractions: Mapping[str, float], seed: int = 0) -> dict[str, Rows]:
    """Divide rows at random but always alike; each split gets at least one row and keeps the order of the file."""
    if not fractions or min(fractions.values()) <= 0 or abs(sum(fractions.values()) - 1) > 1e-6:
        raise ConfigError(
            "The data cannot be divided so.",
            because=f"expected fractions above 0 that add up to 1, got {shown(dict(fractions))}",
            fix="set data.split, for example to {train: 0.8, validation: 0.1, test: 0.1}",
            where=Where(key="data.split"),
        )
    if len(rows) < len(fractions):
        raise DataError(
            "There are too few rows to divide.",
            because=f"expected at least one row for each of {listed(fractions)}, got {len(rows)}",
            fix="add rows",
            where=Where(file=str(rows.files[0])),
            code="data.splits",
        )
    edges = _edges(list(fractions.values()), len(rows))
    order = shuffled(len(rows), seed)
    parts = zip(fractions, edges, edges[1:], strict=False)
    return {name: rows.take(np.sort(order[begin:end])) for name, begin, end in parts}


def _edges(fractions: list[float], count: int) -> list[int]:
    sizes = [max(1, round(count * fraction)) for fraction in fractions]
    # the largest split bears what rounding leaves over
    sizes[sizes.index(max(sizes))] += count - sum(sizes)
    return [sum(sizes[:place]) for place in range(len(sizes) + 1)]


def _named_splits(
    paths: Mapping[str, str | Path | Sequence[str | Path]], formats: Mapping[str, Format]
) -> dict[str, list[Path]]:
    unknown = [split for split in paths if split not in NAMES.values()]
    if unknown or not paths:
        raise ConfigError(
            "The data names an unknown split.",
            because=f"expected train, validation and test, got {listed(map(shown, paths)) or 'none'}",
            fix=f"correct {PATH_KEY}",
            where=Where(key=PATH_KEY),
        )
    found: dict[str, list[Path]] = {}
    for split, files in paths.items():
        several = [files] if isinstance(files, (str, Path)) else list(files or ())
        paths_of = (_files_in(path, formats) if path.is_dir() else [path] for path in map(Path, several))
        found[split] = [file for files in paths_of for file in files]
    return {split: files for split, files in found.items() if files}


def _files_in(folder: Path, formats: Mapping[str, Format]) -> list[Path]:
    files = [path for path in sorted(folder.iterdir(), key=_natural) if path.suffix.lower() in formats]
    if not files and FOLDER in formats:
        return [folder]
    if not files:
        because = f"expected files that end in {listed(FORMATS)}, got {_contents(folder)}"
        raise file_error(folder, "The data folder holds no data file.", because=because, fix=f"check {PATH_KEY}")
    return files


def _check_one_source(folder: Path, split: str, files: list[Path]) -> None:
    places = {(file.parent, file.suffix.lower()) for file in files}
    if len(places) > 1:
        raise file_error(
            folder,
            f"The data folder holds the {split} split twice.",
            because=f"expected one kind of file, got {listed(file.relative_to(folder) for file in files)}",
            fix=f"remove what is not meant, or name the files: {NAMED}",
        )


def _contents(folder: Path) -> str:
    return listed(sorted(shown(path.name) for path in folder.iterdir())) or "an empty folder"


def _natural(path: Path) -> list[tuple[int, str]]:
    # train.2 before train.10
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]

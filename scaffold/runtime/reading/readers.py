"""From what `data.path` names to the rows of each split: folders, files, or one file that is to be divided."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from scaffold.errors import ConfigError, Where, listed, shown
from scaffold.runtime.reading.conll import Conll
from scaffold.runtime.reading.formats import FOLDER, FORMAT_KEY, FORMATS, Format, named_format, register_format
from scaffold.runtime.reading.lines import file_error, no_file

register_format(".conll", Conll())
register_format(".conllu", Conll(tokens=1, labels=3, numbered=True))

PATH_KEY = "data.path"
NAMED = f"'{PATH_KEY}={{train: rows/a.tsv, validation: rows/b.tsv, test: rows/c.tsv}}'"
WHOLE = "all"
NAMES = {name: name for name in ("train", "validation", "test")} | dict.fromkeys(("val", "valid", "dev"), "validation")
PART = re.compile(rf"({'|'.join(NAMES)})([._-]\d+(-of-\d+)?)?")

DataPath = str | Path | Mapping[str, str | Path | Sequence[str | Path]]


def find_splits(
    path: DataPath, own: Mapping[str, Format] | None = None, kind: str | None = None
) -> dict[str, list[Path]]:
    """Return the files of each split: of a folder's train.*, validation.* and test.*, or as a mapping names them.

    A split may be one file (train.tsv), several (train.1.tsv, train-00001-of-00004.tsv) or a folder of them (train/);
    val, valid and dev stand for validation. A single file is returned as the split "all", for `split_rows`, unless its
    format knows splits in it; so is a folder without such files where the rows' own formats read folders. kind: the
    suffix of the format in which all files are read, whatever their own.
    """
    formats = _formats(own, kind)
    if isinstance(path, Mapping):
        return _named_splits(path, formats)
    folder = Path(path)
    if not folder.is_dir():
        if not folder.exists():
            raise no_file(folder, "The data does not exist.", fix=f"check {PATH_KEY}")
        form = formats.get(folder.suffix.lower())
        splits = form.splits(folder) if form else ()
        return {split: [folder] for split in splits or (WHOLE,)}
    found = _splits_in(folder, formats)
    if not found and FOLDER in formats:
        return {WHOLE: [folder]}
    if not found:
        raise file_error(
            folder,
            "The data folder holds no train, validation or test file.",
            because=f"expected {listed(f'train{suffix}' for suffix in FORMATS)}, got {_contents(folder)}",
            fix=f"rename the files, or name them: {NAMED}; {FORMAT_KEY}=conll and the like read any suffix",
        )
    for split, files in found.items():
        _check_one_source(folder, split, files)
    return {split: found[split] for split in dict.fromkeys(NAMES.values()) if split in found}


def _splits_in(folder: Path, formats: Mapping[str, Format]) -> dict[str, list[Path]]:
    """Return the files of each split that has some, in the order of their names."""
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir(), key=_natural):
        match = PART.fullmatch(entry.name if entry.is_dir() else entry.stem)
        if match and (entry.is_dir() or entry.suffix.lower() in formats):
            found.setdefault(NAMES[match[1]], []).extend(_files_in(entry, formats) if entry.is_dir() else [entry])
    return found


def _formats(own: Mapping[str, Format] | None, kind: str | None) -> Mapping[str, Format]:
    formats = FORMATS | dict(own or {})
    return _Always(named_format(kind, formats)) if kind else formats


class _Always(dict[str, Format]):
    """One format for every suffix."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self.form = form

    def __contains__(self, suffix: object) -> bool:
        return suffix != FOLDER

    def get(self, suffix: str, default: object = None) -> Format:  # type: ignore[override]  # noqa: ARG002
        """Return the format."""
        return self.form


def unread(path: DataPath, split: str) -> list[str]:
    """Return what lies in a data folder under the name of a split, for when none of it is a file of rows."""
    if isinstance(path, Mapping) or not Path(path).is_dir():
        return []
    words = [name for name, meant in NAMES.items() if meant == split]
    names = sorted(entry.name + "/" * entry.is_dir() for entry in Path(path).iterdir())
    return [shown(name) for name in names if re.split(r"[._/-]", name.casefold())[0] in words]


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
    visible = (path for path in sorted(folder.iterdir(), key=_natural) if not path.name.startswith("."))
    files = [path for path in visible if path.suffix.lower() in formats]
    if not files and FOLDER in formats:
        return [folder]
    if not files:
        because = f"expected files that end in {listed(FORMATS)}, got {_contents(folder)}"
        raise file_error(folder, "The data folder holds no data file.", because=because, fix=f"check {PATH_KEY}")
    return files


def _check_one_source(folder: Path, split: str, files: list[Path]) -> None:
    places = {(file.parent, file.suffix.lower()) for file in files}
    if len(places) > 1:
        is_one_folder = len({file.parent for file in files}) == 1 and files[0].parent != folder
        raise file_error(
            folder,
            f"The folder of the {split} split holds several kinds of file."
            if is_one_folder
            else f"The data folder holds the {split} split twice.",
            because=f"expected one kind of file, got {listed(file.relative_to(folder) for file in files)}",
            fix=f"remove what is not meant, or name all that are: {NAMED}; a split may be a list",
        )


def _contents(folder: Path) -> str:
    return listed(sorted(shown(path.name) for path in folder.iterdir())) or "an empty folder"


def _natural(path: Path) -> list[tuple[int, str]]:
    # train.2 before train.10
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]

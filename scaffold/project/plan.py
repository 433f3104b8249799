"""What an update does to each file of a project, known before anything is touched."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaffold.project.merge import Content, Merged, Scratch
from scaffold.project.record import BASE, FOLDER, RECORD, Record
from scaffold.project.repository import Entry
from scaffold.project.worktree import Edits, Stages

Kind = Literal["add", "update", "merge", "remove", "conflict", "keep"]
DELETED = "you deleted it, so it stays deleted"
DROPPED = "the template no longer has it; you changed it, so it stays"
CLASHING = "you and the template changed the same lines"


@dataclass(frozen=True, slots=True)
class Change:
    """What an update does to a file, and why where that is not plain."""

    path: str
    kind: Kind
    note: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The changes for a person to read, the edits that make them, and the three sides of every conflict."""

    changes: tuple[Change, ...]
    edits: Edits
    stages: Stages


def planned(
    scratch: Scratch, ours: Mapping[str, Entry], project: Path, before: Record, draft: Path, after: Record
) -> Plan:
    """Return how a project becomes what its template writes today, which `draft` holds; ours: what is committed."""
    own = {path: entry for path, entry in ours.items() if not path.startswith(f"{FOLDER}/")}
    pristine, renewed = without_seeds(archived(project / BASE), read(draft, after.files), (before, after), own)
    for path in [path for path in pristine if path in own and own[path].blob != before.files[path].blob]:
        if has_windows_lines(scratch.read(own[path])):  # else every line of it would be a change of the person's
            for files in (pristine, renewed):
                files |= {path: with_windows_lines(files[path])} if path in files else {}
    base, theirs = scratch.store(pristine), scratch.store(renewed)
    merged = scratch.merge(base, own, theirs, f"scaffold-{after.template_version}")
    kept = settled(merged)
    found = [change(path, base.get(path), own.get(path), merged) for path in sorted({*own, *merged.files})]
    wanted = {**merged.files, **scratch.store(read(draft, (RECORD, BASE)))}
    touched = merged.stages.keys() | {path for path in {*ours, *wanted} if ours.get(path) != wanted.get(path)}
    edits = {path: wanted.get(path) for path in sorted(touched)}
    return Plan((*filter(None, found), *kept), edits, merged.stages)


def archived(base: Path) -> dict[str, Content]:
    """Return the files of a project as its template wrote them."""
    with zipfile.ZipFile(base) as archive:
        return {
            entry.filename: Content(f"{entry.external_attr >> 16:o}", archive.read(entry))
            for entry in archive.infolist()
        }


def read(draft: Path, paths: Iterable[str]) -> dict[str, Content]:
    """Return files of a draft."""
    modes = {path: "100755" if (draft / path).stat().st_mode & 0o100 else "100644" for path in paths}
    return {path: Content(mode, (draft / path).read_bytes()) for path, mode in modes.items()}


def without_seeds(
    pristine: Mapping[str, Content],
    renewed: Mapping[str, Content],
    records: tuple[Record, Record],
    own: Mapping[str, Entry],
) -> tuple[dict[str, Content], dict[str, Content]]:
    """Leave out the files that are the person's from the first day; one that the template did not have yet is added."""
    seeds = {path for known in records for path, file in known.files.items() if file.file_class == "seed"}
    new = renewed.keys() - pristine.keys() - own.keys()
    base = {path: file for path, file in pristine.items() if path not in seeds}
    return base, {path: file for path, file in renewed.items() if path not in seeds or path in new}


def has_windows_lines(text: bytes) -> bool:
    """Say whether every line of a text ends as on Windows."""
    return b"\r\n" in text and text.count(b"\n") == text.count(b"\r\n")


def with_windows_lines(file: Content) -> Content:
    """Return a file with the line ends of Windows."""
    return Content(file.mode, file.data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def settled(merged: Merged) -> list[Change]:
    """Take out of a merge what needs no decision: what one side removed and the other changed; return what stayed."""
    kept = []
    for path, sides in sorted(merged.stages.items()):
        if sides.keys() == {1, 3}:
            merged.files.pop(path, None)
            kept.append(Change(path, "keep", DELETED))
        elif sides.keys() == {1, 2}:
            merged.files[path] = sides[2]
            kept.append(Change(path, "keep", DROPPED))
    for settled_one in kept:
        del merged.stages[settled_one.path]
    return kept


def change(path: str, base: Entry | None, own: Entry | None, merged: Merged) -> Change | None:
    """Return what a merge does to a file of the project; None where it leaves the file alone."""
    result = merged.files.get(path)
    if path in merged.stages:
        return Change(path, "conflict", CLASHING)
    if result == own:
        return None
    if result is None:
        return Change(path, "remove")
    if own is None:
        return Change(path, "add")
    return Change(path, "update") if own == base else Change(path, "merge", "with your changes")

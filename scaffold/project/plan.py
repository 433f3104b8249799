"""What an update does to each file of a project, known before anything is touched."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaffold.project.journal import Edits
from scaffold.project.merge import Content, Merged, Scratch
from scaffold.project.record import BASE, RECORD, Record
from scaffold.project.repository import Entry
from scaffold.project.worktree import Stages

Kind = Literal["add", "update", "merge", "remove", "conflict", "keep"]
YOURS = "with your changes"
NOT_HELD = "git does not hold it, so it stays as it is"
DELETED = "you deleted it, so it stays deleted"
DROPPED = "the template no longer has it; you changed it, so it stays"
REPLACED = "you made something else of it, so it stays"
CLASHES = {
    frozenset({1, 2, 3}): "you and the template changed the same lines",
    frozenset({2, 3}): "you and the template both made it",
}
MOVED_APART = "you and the template moved it to different places"


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


@dataclass(frozen=True, slots=True)
class Versions:
    """A project as its template wrote it last, and as it writes it today: folders that hold records."""

    project: Path
    draft: Path
    before: Record
    after: Record

    @property
    def label(self) -> str:
        """What the template's side of a conflict is called."""
        return f"scaffold-{self.after.template_version}"

    def seeds(self) -> set[str]:
        """Return the files that are the person's from the first day."""
        files = [*self.before.files.items(), *self.after.files.items()]
        return {path for path, file in files if file.file_class == "seed"}


def make_plan(versions: Versions, committed: Mapping[str, Entry], scratch: Scratch) -> Plan:
    """Return how the committed files of a project become what its template writes today."""
    seeds, nested = versions.seeds(), nested_projects(committed)
    aside = {path for path in committed if path in seeds or path in (RECORD, BASE) or path.startswith(nested)}
    own = {path: entry for path, entry in committed.items() if path not in aside}
    pristine = {path: file for path, file in archived(versions.project / BASE).items() if path not in seeds}
    new = seeds - versions.before.files.keys() - committed.keys()
    renewed = {
        path: file for path, file in read(versions.draft, versions.after.files).items() if path not in seeds - new
    }
    for path in changed_to_windows(own, versions.before, scratch):  # else every line would be a change of the person's
        for side in (pristine, renewed):
            side |= {path: with_windows_lines(side[path])} if path in side else {}
    base, theirs = scratch.store(pristine), scratch.store(renewed)
    merged = scratch.merge(base, own, theirs, versions.label)
    kept = settled(merged, own, versions)
    changes = [described(path, merged, base, own, theirs) for path in sorted({*own, *merged.files, *merged.stages})]
    wanted = (
        {path: committed[path] for path in aside} | merged.files | scratch.store(read(versions.draft, (RECORD, BASE)))
    )
    differing = {path for path in {*committed, *wanted} if committed.get(path) != wanted.get(path)}
    edits = {path: wanted.get(path) for path in sorted(differing | merged.stages.keys())}
    return Plan((*filter(None, changes), *kept), edits, merged.stages)


def archived(base: Path) -> dict[str, Content]:
    """Return the files of a project as its template wrote them last."""
    with zipfile.ZipFile(base) as archive:
        entries = archive.infolist()
        return {one.filename: Content(f"{one.external_attr >> 16:o}", archive.read(one)) for one in entries}


def read(draft: Path, paths: Iterable[str]) -> dict[str, Content]:
    """Return files of a draft."""
    modes = {path: "100755" if (draft / path).stat().st_mode & 0o100 else "100644" for path in paths}
    return {path: Content(mode, (draft / path).read_bytes()) for path, mode in modes.items()}


def nested_projects(committed: Iterable[str]) -> tuple[str, ...]:
    """Return the folders, each with its slash, of other projects inside a project."""
    return tuple(path.removesuffix(RECORD) for path in committed if path.endswith(f"/{RECORD}"))


def changed_to_windows(own: Mapping[str, Entry], before: Record, scratch: Scratch) -> list[str]:
    """Return the files that have got the line ends of Windows since the template wrote them."""
    changed = [path for path, file in before.files.items() if path in own and own[path].blob != file.blob]
    return [path for path in changed if has_windows_lines(scratch.read(own[path]))]


def has_windows_lines(text: bytes) -> bool:
    """Say whether every line of a text ends as on Windows."""
    return b"\r\n" in text and text.count(b"\n") == text.count(b"\r\n")


def with_windows_lines(file: Content) -> Content:
    """Return a file with the line ends of Windows."""
    return Content(file.mode, file.data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def settled(merged: Merged, own: Mapping[str, Entry], versions: Versions) -> list[Change]:
    """Take out of a merge what needs no decision, as the person's side wins there; return what stays and why."""
    kept = []
    for path, sides in sorted(merged.stages.items()):
        original = path.removesuffix(f"~{versions.label}")
        if original != path:
            merged.files.pop(path, None)
            kept.append(Change(original, "keep", REPLACED))
        elif sides.keys() == {1, 3}:
            merged.files.pop(path, None)
            is_there = os.path.lexists(versions.project / path)
            kept.append(Change(path, "keep", NOT_HELD if is_there else DELETED))
        elif sides.keys() == {1, 2}:
            merged.files[path] = sides[2]
            kept.append(Change(path, "keep", DROPPED))
    for one in kept:
        for path in (one.path, f"{one.path}~{versions.label}"):
            merged.stages.pop(path, None)
        if one.note == REPLACED and one.path in own:
            merged.files[one.path] = own[one.path]
    return kept


def described(
    path: str, merged: Merged, base: Mapping[str, Entry], own: Mapping[str, Entry], theirs: Mapping[str, Entry]
) -> Change | None:
    """Return what a merge does to a file of the project; None where it leaves the file alone."""
    result, mine = merged.files.get(path), own.get(path)
    if path in merged.stages:
        return Change(path, "conflict", CLASHES.get(frozenset(merged.stages[path]), MOVED_APART))
    if result == mine:
        return None
    if result is None:
        return Change(path, "remove")
    if mine is None:
        return Change(path, "add", "" if result == theirs.get(path) else YOURS)
    return Change(path, "update") if mine == base.get(path) else Change(path, "merge", YOURS)

"""A three-way merge of whole trees of files, made by git in a scratch repository that the person's own never sees."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scaffold.project.repository import NEUTRAL, SETTINGS, Entry, Repository, index_lines

OURS = "yours"
MERGING = {
    "merge.renames": "true",
    "merge.directoryRenames": "false",
    "merge.conflictStyle": "merge",
    "merge.default": "text",
}


@dataclass(frozen=True, slots=True)
class Content:
    """A file that git does not have yet: its mode and bytes."""

    mode: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged tree: a file in conflict holds git's markers, and has stages: base is 1, ours 2, theirs 3."""

    files: dict[str, Entry]
    stages: dict[str, dict[int, Entry]]


class Scratch:
    """A bare repository that reads the objects of another one, and keeps to itself what a merge makes."""

    def __init__(self, folder: Path, source: Repository) -> None:
        folder.mkdir()
        self.folder = folder
        self.repository = Repository(folder, SETTINGS | MERGING, source.fix)
        form = source.line("rev-parse", "--show-object-format")
        self.repository.git("init", "--quiet", "--bare", "--template=", f"--object-format={form}")
        objects = source.line("rev-parse", "--path-format=absolute", "--git-path", "objects")
        (folder / "objects" / "info").mkdir(exist_ok=True)
        (folder / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")

    def store(self, files: Mapping[str, Content]) -> dict[str, Entry]:
        """Keep files, and return them as a tree."""
        shelf = self.folder / "shelf"
        shelf.mkdir(exist_ok=True)
        for number, file in enumerate(files.values()):
            (shelf / str(number)).write_bytes(file.data)
        names = "".join(f"shelf/{number}\n" for number in range(len(files))).encode()
        blobs = self.repository.git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=names).decode().split()
        return {path: Entry(file.mode, blob) for (path, file), blob in zip(files.items(), blobs, strict=True)}

    def read(self, entry: Entry) -> bytes:
        """Return what a file holds."""
        return self.repository.git("cat-file", "blob", entry.blob)

    def merge(
        self, base: Mapping[str, Entry], ours: Mapping[str, Entry], theirs: Mapping[str, Entry], label: str
    ) -> Merged:
        """Merge two trees that come from a third; `label` names theirs in the markers of a conflict."""
        root = self._commit("base", base)
        self._commit(OURS, ours, root)
        self._commit(label, theirs, root)
        result = self.repository.run("merge-tree", "--write-tree", "-z", OURS, label)
        if result.returncode not in (0, 1):
            raise self.repository.failed("merge-tree", result)
        tree, _, rest = result.stdout.partition(b"\0")
        conflicts = (b"\0" + rest).split(b"\0\0")[0] if result.returncode else b""  # messages follow
        return Merged(self.repository.tree(tree.decode()), _stages(conflicts))

    def send(self, entries: Iterable[Entry], target: Repository) -> None:
        """Give another repository the contents of files."""
        names = "".join(f"{entry.blob}\n" for entry in entries).encode()
        target.git("unpack-objects", "-q", stdin=self.repository.git("pack-objects", "--stdout", "-q", stdin=names))

    def _commit(self, branch: str, tree: Mapping[str, Entry], *parents: str) -> str:
        index = {"GIT_INDEX_FILE": str(self.folder / f"index-{branch}")}
        self.repository.git("update-index", "-z", "--index-info", stdin=index_lines(tree), variables=index)
        ancestry = [word for parent in parents for word in ("-p", parent)]
        written = self.repository.line("write-tree", variables=index)
        commit = self.repository.line("commit-tree", written, *ancestry, "-m", branch, variables=NEUTRAL)
        self.repository.git("update-ref", f"refs/heads/{branch}", commit)
        return commit


def _stages(lines: bytes) -> dict[str, dict[int, Entry]]:
    stages: dict[str, dict[int, Entry]] = {}
    for line in filter(None, lines.split(b"\0")):
        facts, _, path = os.fsdecode(line).partition("\t")
        mode, blob, stage = facts.split()
        stages.setdefault(path, {})[int(stage)] = Entry(mode, blob)
    return stages

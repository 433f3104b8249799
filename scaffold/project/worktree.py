"""Changes a project's files and git's index together: both or neither; a journal tells what a crash left half-way."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from scaffold.errors import EnvironmentFault, RefusedError, listed, shown
from scaffold.project.repository import UNDISTURBED, Entry, Repository, index_lines, refuse_old_git
from scaffold.project.workshop import is_running, synchronise

Edits = Mapping[str, Entry | None]
Stages = Mapping[str, Mapping[int, Entry]]


@dataclass(frozen=True, slots=True)
class Journal:
    """An update that is under way or not committed yet: the commit that it started from, and what it changes."""

    head: str
    paths: list[str]
    process: int
    is_complete: bool = False


class Worktree:
    """The git repository that a project lies in; paths are relative to the project."""

    def __init__(self, project: Path) -> None:
        refuse_old_git()
        self.project = project.resolve()
        self.repository = Repository(self.project, UNDISTURBED, "mend what git complains about, then run it again")
        found = self.repository.run("rev-parse", "--show-prefix")
        if found.returncode or self.repository.line("rev-parse", "--is-inside-work-tree") != "true":
            raise no_repository(project, found.stderr)
        self.prefix = os.fsdecode(found.stdout).removesuffix("\n")
        self.place = self._place(f"scaffold-update{quote(self.prefix, safe='')}")
        self.journal = self.place.with_name(f"{self.place.name}.json")

    def head(self) -> str:
        """Return the commit that is checked out; RefusedError where it does not hold the project."""
        found = self.repository.run("rev-parse", "HEAD", "HEAD:./")
        if found.returncode:
            raise RefusedError(
                "no commit holds the project yet",
                because="an update is merged into what was committed last, so that nothing of yours can be lost",
                fix="git add --all && git commit -m Start",
                code="refused.no-commit",
            )
        return found.stdout.decode().split()[0]

    def tree(self, commit: str) -> dict[str, Entry]:
        """Return the project's files as they were committed."""
        files = self.repository.tree(commit)
        return {path.removeprefix(self.prefix): file for path, file in files.items() if path.startswith(self.prefix)}

    def changed(self) -> list[str]:
        """Return the files that git knows and that differ from what was committed."""
        wanted = ("--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--", ".")
        lines = os.fsdecode(self.repository.git("status", *wanted)).split("\0")
        return [line[3:].removeprefix(self.prefix) for line in lines if line]

    def refuse_changed(self) -> None:
        """Raise RefusedError where a file that git knows is not as it was committed."""
        if changed := self.changed():
            raise RefusedError(
                "there are changes that are not committed",
                because=f"{listed(changed)}: an update must not be mixed with what you did",
                fix="git commit (or git stash), then run it again",
                code="refused.dirty",
            )

    def refuse_taken(self, paths: Iterable[str]) -> None:
        """Raise RefusedError where a new file would replace one that git does not know, or go through a link."""
        taken = [path for path in paths if any(self._blocks(step, path) for step in (path, *parents(path)))]
        if taken:
            raise RefusedError(
                f"the update adds {listed(taken)}, where there is something already",
                because="git does not know it (it may be ignored), so nothing could bring it back",
                fix="move it away, or commit it with git add --force",
                code="refused.in-the-way",
            )

    def under_way(self) -> Journal | None:
        """Return the update that a crash interrupted, or that is not committed yet; None where there is none."""
        try:
            journal = Journal(**json.loads(self.journal.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # it is written before anything is changed
            self._forget()
            return None
        if journal.head != self.head() or (journal.is_complete and not self.changed()):
            self._forget()
            return None
        return journal

    def change(self, edits: Edits, stages: Stages, head: str, scratch: Path) -> None:
        """Make edits in files and index: None removes a file, and a path with stages is left as a conflict of git's.

        Where the machine refuses half-way, everything is put back; EnvironmentFault says so.
        """
        before = self.tree(head)
        journal = Journal(head, list(edits), os.getpid())
        self._note(journal, "x")
        try:
            self._write(edits, stages, scratch)
        except (OSError, EnvironmentFault) as error:
            self._undo(edits, before, scratch, error)
        self._note(replace(journal, is_complete=True), "w")

    def take_back(self, journal: Journal, scratch: Path) -> None:
        """Bring what an update has changed back to what was committed before it."""
        if not journal.is_complete and is_running(journal.process):
            raise busy(journal.process)
        before = self.tree(journal.head)
        if not journal.is_complete:  # its git died with it
            self._place("index.lock").unlink(missing_ok=True)
        self._write({path: before.get(path) for path in journal.paths}, {}, scratch)
        self._forget()

    def _undo(self, edits: Edits, before: Edits, scratch: Path, error: OSError | EnvironmentFault) -> NoReturn:
        try:
            self._write({path: before.get(path) for path in edits}, {}, scratch)
        except (OSError, EnvironmentFault):
            what, first = "the update stopped half-way", "make room and permission there, then scaffold update --abort"
            raise unwritten(what, error, first) from error
        self._forget()
        what, first = "the update could not be written; every file is as it was", "make room and permission there"
        raise unwritten(what, error, first) from error

    def _write(self, edits: Edits, stages: Stages, scratch: Path) -> None:
        kept = {path: entry for path, entry in edits.items() if entry}
        for path in edits.keys() - kept.keys():
            self._remove(path)
        draft = scratch / "index"
        draft.unlink(missing_ok=True)
        self._index(kept, draft)
        self.repository.git("checkout-index", "--all", "--force", variables={"GIT_INDEX_FILE": str(draft)})
        self._drop([path for path in edits if path in stages or path not in kept])
        self._index({path: entry for path, entry in kept.items() if path not in stages})
        for number in (1, 2, 3):
            self._index({path: sides[number] for path, sides in stages.items() if number in sides}, stage=number)
        self.repository.run("update-index", "-q", "--refresh")

    def _remove(self, path: str) -> None:
        (self.project / path).unlink(missing_ok=True)
        for folder in parents(path):
            try:
                (self.project / folder).rmdir()
            except OSError:  # it holds other files
                return

    def _index(self, entries: Mapping[str, Entry], file: Path | None = None, stage: int = 0) -> None:
        lines = index_lines({self.prefix + path: entry for path, entry in entries.items()}, stage)
        variables = {"GIT_INDEX_FILE": str(file)} if file else {}
        self.repository.git("update-index", "-z", "--index-info", stdin=lines, variables=variables)

    def _drop(self, paths: list[str]) -> None:
        names = b"".join(os.fsencode(path) + b"\0" for path in paths)
        self.repository.git("update-index", "-z", "--force-remove", "--stdin", stdin=names)

    def _blocks(self, step: str, path: str) -> bool:
        place = self.project / step
        return os.path.lexists(place) and (step == path or place.is_symlink() or not place.is_dir())

    def _note(self, journal: Journal, mode: str) -> None:
        try:
            with self.journal.open(mode, encoding="utf-8") as handle:
                json.dump(asdict(journal), handle)
        except FileExistsError:
            raise busy() from None
        synchronise(self.journal)

    def _forget(self) -> None:
        self.journal.unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return Path(self.repository.line("rev-parse", "--path-format=absolute", "--git-path", name))


def parents(path: str) -> list[str]:
    """Return the folders of a relative path, the innermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def refuse_unfinished(journal: Journal) -> None:
    """Raise RefusedError for an update that is not over."""
    if journal.is_complete:
        raise RefusedError(
            "the last update is not committed yet",
            because=f"{listed(journal.paths)} came from it" if journal.paths else "",
            fix="git commit it, or take it back with `scaffold update --abort`",
            code="refused.uncommitted",
        )
    if is_running(journal.process):
        raise busy(journal.process)
    raise RefusedError(
        "the last update was interrupted while it wrote",
        because=f"some of {listed(journal.paths)} may be changed already",
        fix="scaffold update --abort, then run it again",
        code="refused.interrupted",
    )


def busy(process: int | None = None) -> RefusedError:
    """Return the error of two updates at once."""
    return RefusedError(
        "another update of this project is running",
        because=f"process {process} has begun to write" if process else "it has just begun to write",
        fix="wait until it has ended",
        code="refused.busy",
    )


def nothing_to_abort(project: Path) -> RefusedError:
    """Return the error of an abort without an update."""
    return RefusedError(
        f"there is no update of {shown(str(project))} to take back",
        because="the last one is committed, or was taken back, or there was none",
        fix="git revert takes back what is committed",
        code="refused.no-update",
    )


def no_repository(project: Path, said: bytes) -> RefusedError:
    """Return the error of a project that git knows nothing of."""
    return RefusedError(
        f"{shown(str(project))} is not in a git repository",
        because=" ".join(said.decode(errors="backslashreplace").split())[:200] or "there is no work tree",
        fix="git init && git add --all --force && git commit -m Start, then run it again",
        code="refused.no-repository",
    )


def unwritten(what: str, error: OSError | EnvironmentFault, fix: str) -> EnvironmentFault:
    """Return the error of a machine that refused to write."""
    said = f"{error.what}: {error.because}" if isinstance(error, EnvironmentFault) else error.strerror or str(error)
    return EnvironmentFault(what, because=said, fix=fix, code="environment.write")

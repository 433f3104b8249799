"""Changes a project's files and git's index together: both or neither, or there is a way back."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from scaffold.errors import EnvironmentFault, RefusedError, shown
from scaffold.project import journal as journals
from scaffold.project.journal import Edits, Journal
from scaffold.project.record import BASE, RECORD
from scaffold.project.repository import UNDISTURBED, Entry, Repository, index_lines, refuse_old_git

Stages = Mapping[str, Mapping[int, Entry]]
ROOM = "make room and permission there"


class Worktree:
    """The git repository that a project lies in; paths are relative to the project."""

    def __init__(self, project: Path) -> None:
        refuse_old_git()
        self.project = project
        self.repository = Repository(project, UNDISTURBED, "mend what git complains about, then run it again")
        found = self.repository.run("rev-parse", "--show-prefix")
        if found.returncode and b"not a git repository" not in found.stderr:
            raise self.repository.failed("rev-parse", found)
        if found.returncode or self.repository.line("rev-parse", "--is-inside-work-tree") != "true":
            raise no_repository(project)
        self.prefix = os.fsdecode(found.stdout).removesuffix("\n")
        self.workplace = self.git_file(f"scaffold-update{quote(self.prefix, safe='')}")
        self._journal = self.workplace.with_name(f"{self.workplace.name}.json")

    def git_file(self, name: str) -> Path:
        """Return where git keeps a file of its own."""
        return Path(self.repository.line("rev-parse", "--path-format=absolute", "--git-path", name))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other updates out; the system gives the lock back, however this process ends."""
        handle = os.open(self.workplace.parent, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise busy() from None
        finally:
            os.close(handle)

    def head(self) -> str:
        """Return the commit that is checked out; RefusedError where it does not hold the project."""
        found = self.repository.run("rev-parse", "HEAD", *(f"HEAD:./{path}" for path in (RECORD, BASE)))
        if found.returncode:
            raise RefusedError(
                "no commit holds the project yet, or not its folder .scaffold",
                because="an update is merged into what was committed last, so that nothing of yours can be lost",
                fix="git add . && git add --force .scaffold && git commit -m Start",
                code="refused.no-commit",
            )
        return found.stdout.decode().split()[0]

    def tree(self, commit: str) -> dict[str, Entry]:
        """Return the project's files as they were committed."""
        return self.repository.tree(f"{commit}:{self.prefix}")

    def lines(self, *arguments: str) -> list[str]:
        """Return what git lists with -z."""
        return [line for line in os.fsdecode(self.repository.git(*arguments)).split("\0") if line]

    def index(self) -> dict[str, Entry]:
        """Return the project's files as they are staged."""
        cells = [line.partition("\t") for line in self.lines("ls-files", "--stage", "-z")]
        return {path: Entry(*facts.split()[:2]) for facts, _, path in cells}

    def changed(self) -> list[str]:
        """Return the files that git holds and that differ from what was committed."""
        wanted = ("--porcelain=v1", "-z", "--untracked-files=no", "--no-renames", "--", ".")
        return [line[3:].removeprefix(self.prefix) for line in self.lines("status", *wanted)]

    def under_way(self) -> Journal | None:
        """Return the update that was interrupted, or is not committed yet; None where there is none."""
        journal = journals.load(self._journal)
        if journal and journal.is_complete and RECORD not in self.changed():  # every update changes it
            self._journal.unlink()
            return None
        return journal

    def change(self, journal: Journal, stages: Stages, folder: Path) -> None:
        """Make the edits of a journal; a path with stages is left as a conflict of git's.

        Where the machine refuses half-way, everything is put back; EnvironmentFault says so.
        """
        journals.save(journal, self._journal)
        try:
            self._stage(journal.after, stages)
        except EnvironmentFault:  # somebody else's git is at work
            self._journal.unlink()
            raise
        try:
            self._write(journal.after, folder)
            journals.save(replace(journal, is_complete=True), self._journal)
        except (OSError, EnvironmentFault) as error:
            self._undo(journal, folder, error)

    def take_back(self, journal: Journal, folder: Path) -> None:
        """Bring back what was committed before an update."""
        if not journal.is_complete:
            self._drop_own_lock()
        journals.save(replace(journal, is_complete=False), self._journal)
        self._stage(journal.before, {})
        self._write(journal.before, folder)
        self._journal.unlink()

    def _undo(self, journal: Journal, folder: Path, error: OSError | EnvironmentFault) -> NoReturn:
        try:
            self._stage(journal.before, {})
            self._write(journal.before, folder)
            self._journal.unlink()
        except (OSError, EnvironmentFault):
            raise unwritten("the update stopped half-way", error, f"{ROOM}, then scaffold update --abort") from error
        raise unwritten("the update could not be written; every file is as it was", error, ROOM) from error

    def _stage(self, edits: Edits, stages: Stages) -> None:
        whole = {path: entry for path, entry in edits.items() if entry and path not in stages}
        null = Entry("0", "0" * len(self.repository.line("rev-parse", "HEAD")))
        lines = [self._lines(dict.fromkeys(edits, null)), self._lines(whole)]
        for number in (1, 2, 3):
            sides = {path: entries[number] for path, entries in stages.items() if number in entries}
            lines.append(self._lines(sides, number))
        self.repository.git("update-index", "-z", "--index-info", stdin=b"".join(lines))

    def _lines(self, entries: Mapping[str, Entry], stage: int = 0) -> bytes:
        return index_lines({self.prefix + path: entry for path, entry in entries.items()}, stage)

    def _write(self, edits: Edits, folder: Path) -> None:
        kept = {path: entry for path, entry in edits.items() if entry}
        for path in edits.keys() - kept.keys():
            self._remove(path)
        index = {"GIT_INDEX_FILE": str(folder / "index")}
        (folder / "index").unlink(missing_ok=True)
        self.repository.git("update-index", "-z", "--index-info", stdin=self._lines(kept), variables=index)
        self.repository.git("checkout-index", "--all", "--force", variables=index)
        self.repository.run("update-index", "-q", "--refresh")

    def _remove(self, path: str) -> None:
        (self.project / path).unlink(missing_ok=True)
        for folder in parents(path):
            try:
                (self.project / folder).rmdir()
            except OSError:  # it holds other files
                return

    def _drop_own_lock(self) -> None:
        lock = self.git_file("index.lock")
        if lock.exists() and lock.stat().st_mtime >= self._journal.stat().st_mtime:
            lock.unlink()


def parents(path: str) -> list[str]:
    """Return the folders of a relative path, the innermost first."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def busy() -> RefusedError:
    """Return the error of two updates at once."""
    return RefusedError(
        "another update is running in this repository",
        because="two at once would mix what they write",
        fix="wait until it has ended",
        code="refused.busy",
    )


def no_repository(project: Path) -> RefusedError:
    """Return the error of a project that git knows nothing of."""
    return RefusedError(
        f"{shown(str(project))} is not in a git repository",
        because="an update is merged into what was committed last, so that nothing of yours can be lost",
        fix="git init && git add . && git add --force .scaffold && git commit -m Start",
        code="refused.no-repository",
    )


def unwritten(what: str, error: OSError | EnvironmentFault, fix: str) -> EnvironmentFault:
    """Return the error of a machine that refused to write."""
    said = f"{error.what}: {error.because}" if isinstance(error, EnvironmentFault) else error.strerror or str(error)
    return EnvironmentFault(what, because=said, fix=fix, code="environment.write")

"""What forbids an update: work of the person's that it would mix with its own, or lose."""

from __future__ import annotations

import os
from pathlib import Path

from scaffold.errors import RefusedError, listed, shown
from scaffold.project.journal import Edits, Journal
from scaffold.project.repository import Entry
from scaffold.project.worktree import Worktree, parents

UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
PLAIN = {"unspecified", "unset"}


def refuse_obstacles(worktree: Worktree, edits: Edits, committed: dict[str, Entry], head: str) -> None:
    """Raise RefusedError unless files and index are those of a commit, and no edit would replace anything else."""
    refuse_unfinished_git(worktree)
    refuse_changes(worktree, head)
    refuse_hidden_changes(worktree, edits)
    refuse_filters(worktree, edits)
    gone = {path for path, entry in edits.items() if entry is None}
    added = [path for path, entry in edits.items() if entry and path not in committed]
    if taken := [path for path in added if is_taken(worktree.project, path, gone)]:
        raise RefusedError(
            f"the update adds {listed(taken)}, where there is something of yours",
            because="it would be overwritten, and git does not hold it",
            fix="move it away, then run it again",
            code="refused.in-the-way",
        )


def refuse_unfinished_git(worktree: Worktree) -> None:
    """Raise RefusedError in the middle of a merge or a rebase, which the commit of the update would end."""
    if any(worktree.git_file(name).exists() for name in UNFINISHED):
        raise RefusedError(
            "a merge or a rebase is under way",
            because="the commit of the update would become a part of it",
            fix="end it first (`git status` says how), then run it again",
            code="refused.dirty",
        )


def refuse_changes(worktree: Worktree, head: str) -> None:
    """Raise RefusedError where a file that git holds is not as it was committed, or another commit came in between."""
    if changed := worktree.changed():
        raise RefusedError(
            "there are changes that are not committed",
            because=f"{listed(changed)}: an update must not be mixed with what you did",
            fix="git commit --all (or git stash), then run it again",
            code="refused.dirty",
        )
    if worktree.head() != head:
        raise RefusedError(
            "something was committed while the update was worked out",
            because="it is not in the merge",
            fix="run it again",
            code="refused.moved",
        )


def refuse_hidden_changes(worktree: Worktree, edits: Edits) -> None:
    """Raise RefusedError for files whose changes git was told not to see: they could not be brought back."""
    tags = {line[2:]: line[0] for line in worktree.lines("ls-files", "-v", "-z")}
    hidden = [path for path in edits if tags.get(path, "H").islower() or tags.get(path) == "S"]
    if hidden := [path for path in hidden if (worktree.project / path).exists()]:
        raise RefusedError(
            f"git was told not to look at {listed(hidden)}",
            because="the update changes it, and changes of yours there could not be brought back",
            fix="git update-index --no-assume-unchanged --no-skip-worktree it, commit, then run it again",
            code="refused.hidden",
        )


def refuse_filters(worktree: Worktree, edits: Edits) -> None:
    """Raise RefusedError for files that git stores filtered, as large or secret ones: their lines cannot be merged."""
    names = b"".join(os.fsencode(path) + b"\0" for path in edits)
    answer = worktree.repository.git("check-attr", "--stdin", "-z", "filter", stdin=names)
    cells = os.fsdecode(answer).split("\0")
    if filtered := [path for path, value in zip(cells[::3], cells[2::3], strict=False) if value not in PLAIN]:
        raise RefusedError(
            f"git filters {listed(filtered)}",
            because="what it stores of these files is not their text, so lines cannot be merged",
            fix="take them out of the filter in .gitattributes (`PATH -filter`), commit, then run it again",
            code="refused.filtered",
        )


def refuse_unfinished(journal: Journal) -> None:
    """Raise RefusedError for an update that is not over."""
    if journal.is_complete:
        raise RefusedError(
            "the last update is not committed yet",
            because=f"{listed(journal.after)} came from it",
            fix="git commit it, or take it back with `scaffold update --abort`",
            code="refused.uncommitted",
        )
    raise RefusedError(
        "the last update was interrupted while it wrote",
        because=f"some of {listed(journal.after)} may be changed already",
        fix="scaffold update --abort, then run it again",
        code="refused.interrupted",
    )


def refuse_edited(worktree: Worktree, journal: Journal) -> None:
    """Raise RefusedError where taking an update back would lose what the person did since; conflicts are left out."""
    staged, differing = worktree.index(), worktree.lines("diff-files", "--name-only", "--relative", "-z")
    gone = {path for path, entry in journal.after.items() if entry}
    edited = []
    for path, entry in journal.after.items():
        is_other = staged.get(path) != entry or path in differing
        if path not in journal.conflicts and (is_other or (not entry and is_taken(worktree.project, path, gone))):
            edited.append(path)
    if edited:
        raise RefusedError(
            f"you have changed {listed(edited)} since the update",
            because="to take the update back would lose that",
            fix="copy it elsewhere and `git restore` it, or commit it with the update",
            code="refused.edited",
        )


def nothing_to_abort(project: Path) -> RefusedError:
    """Return the error of an abort without an update."""
    return RefusedError(
        f"there is no update of {shown(str(project))} to take back",
        because="none is interrupted, and none waits for its commit",
        fix="git revert takes back what is committed",
        code="refused.no-update",
    )


def is_taken(project: Path, path: str, gone: set[str]) -> bool:
    """Say whether there is anything in the place of a new file, or of a folder above it, but files that go."""
    for step in (path, *parents(path)):
        place = project / step
        is_folder = place.is_dir() and not place.is_symlink()
        if not os.path.lexists(place) or (is_folder and step != path):
            continue
        inside = (
            (file for file in place.rglob("*") if file.is_symlink() or not file.is_dir()) if is_folder else (place,)
        )
        if any(file.relative_to(project).as_posix() not in gone for file in inside):
            return True
    return False

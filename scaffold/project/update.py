"""Merges what a template writes today into a project that it wrote earlier; what the person changed is kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

import scaffold
from scaffold.project import catalog, record
from scaffold.project.create import compose
from scaffold.project.merge import Scratch
from scaffold.project.plan import Change, Plan, planned
from scaffold.project.record import RECORD, Record
from scaffold.project.spec import ProjectSpec, build
from scaffold.project.workshop import sweep, undisturbed, workshop
from scaffold.project.worktree import Worktree, nothing_to_abort, refuse_unfinished


@dataclass(frozen=True, slots=True)
class Update:
    """What an update did to a project, or would do; nothing where the project is what its template writes today."""

    project: Path
    before: Record
    after: Record
    changes: tuple[Change, ...] = ()

    @property
    def is_due(self) -> bool:
        """Whether the template writes something else today."""
        return self.before != self.after

    @property
    def has_conflicts(self) -> bool:
        """Whether the person and the template changed the same lines."""
        return any(change.kind == "conflict" for change in self.changes)


def find_project(folder: Path) -> Path:
    """Return the project that a folder lies in; RefusedError where there is none."""
    here = folder.absolute()
    found = next((place for place in (here, *here.parents) if (place / RECORD).is_file()), None)
    if found is None:
        raise record.no_project(folder)
    return found


def update(project: Path, given: Mapping[str, object], *, dry_run: bool = False) -> Update:
    """Merge what the template writes today into files and index, and leave the commit to the person.

    given: answers that replace those of the record. RefusedError where changes are not committed, or where something
    that git does not know is in the way: then, as after any other error, nothing is changed.
    """
    worktree = Worktree(project)
    sweep(worktree.place)
    if not dry_run and (journal := worktree.under_way()):
        refuse_unfinished(journal)
    head, before = worktree.head(), record.read(project)
    with ExitStack() as ending, workshop(worktree.place) as folder:
        draft = folder / "draft"
        compose(renewed(before, given), folder / "template", draft)
        after = record.parse(draft / RECORD)
        if before == after:
            return Update(project, before, after)
        scratch = Scratch(folder / "scratch", worktree.repository)
        plan = planned(scratch, worktree.tree(head), project, before, draft, after)
        if not dry_run:
            prepare(plan, worktree, scratch)
            ending.enter_context(undisturbed())  # from here on a signal comes too late
            worktree.change(plan.edits, plan.stages, head, folder)
    return Update(project, before, after, plan.changes)


def renewed(known: Record, given: Mapping[str, object]) -> ProjectSpec:
    """Return what a project would be if it were written today; a question that is new gets its default."""
    if Version(known.runtime_version) > Version(scaffold.__version__):
        raise record.newer(Path(RECORD), f"version {known.runtime_version} wrote it, this is {scaffold.__version__}")
    template = catalog.find(known.template)
    answers = {name: answer for name, answer in known.answers.items() if name in template.questions}
    return build(template, known.project, {**answers, **given}, bare=known.bare)


def prepare(plan: Plan, worktree: Worktree, scratch: Scratch) -> None:
    """Give the project's repository what a plan needs; RefusedError where something of the person's would be lost."""
    worktree.refuse_changed()
    added = [change.path for change in plan.changes if change.kind == "add"]
    worktree.refuse_taken(added)
    sides = [side for sides in plan.stages.values() for side in sides.values()]
    scratch.send([*filter(None, plan.edits.values()), *sides], worktree.repository)


def abort(project: Path) -> list[str]:
    """Take back an update that was interrupted, or is not committed yet, and return the files that it had changed."""
    worktree = Worktree(project)
    journal = worktree.under_way()
    if journal is None:
        raise nothing_to_abort(project)
    with ExitStack() as ending, workshop(worktree.place) as folder:
        ending.enter_context(undisturbed())
        worktree.take_back(journal, folder)
    return journal.paths

"""Merges what a template writes today into a project that it wrote earlier; what the person changed is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version

import scaffold
from scaffold.project import catalog, record
from scaffold.project.create import compose
from scaffold.project.journal import Journal
from scaffold.project.merge import Scratch
from scaffold.project.obstacles import nothing_to_abort, refuse_edited, refuse_obstacles, refuse_unfinished
from scaffold.project.plan import Change, Plan, Versions, make_plan
from scaffold.project.record import RECORD, Record
from scaffold.project.spec import ProjectSpec, build
from scaffold.project.workshop import sweep, undisturbed, workshop
from scaffold.project.worktree import Worktree


@dataclass(frozen=True, slots=True)
class Update:
    """What an update did to a project, or would do; `after` is None where the project is what is written today."""

    project: Path
    before: Record
    after: Record | None = None
    changes: tuple[Change, ...] = ()

    @property
    def has_conflicts(self) -> bool:
        """Whether the person and the template changed the same lines."""
        return any(change.kind == "conflict" for change in self.changes)


def find_project(folder: Path) -> Path:
    """Return the project that a folder lies in; RefusedError where there is none."""
    here = folder.resolve()
    found = next((place for place in (here, *here.parents) if (place / RECORD).is_file()), None)
    if found is None:
        raise record.no_project(folder)
    return found


def preview(project: Path, given: Mapping[str, object]) -> Update:
    """Return what an update would do; RefusedError where the last one is not over."""
    worktree = Worktree(project)
    if journal := worktree.under_way():
        refuse_unfinished(journal)
    head, before = worktree.head(), record.read(project)
    spec = renewed(before, given)
    if not is_due(before, spec):
        return Update(project, before)
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        versions = composed(project, before, spec, Path(folder))
        plan = make_plan(versions, worktree.tree(head), Scratch(Path(folder) / "scratch", worktree.repository))
    return Update(project, before, versions.after, plan.changes)


def update(project: Path, given: Mapping[str, object]) -> Update:
    """Merge what the template writes today into files and index, and leave the commit to the person.

    given: answers that replace those of the record. RefusedError where changes are not committed, or where something
    that git does not hold is in the way: then, as after any other error, nothing is changed.
    """
    worktree = Worktree(project)
    with ExitStack() as ending, worktree.locked():
        if journal := worktree.under_way():
            refuse_unfinished(journal)
        head, before = worktree.head(), record.read(project)
        spec = renewed(before, given)
        if not is_due(before, spec):
            return Update(project, before)
        sweep(worktree.workplace)
        with workshop(worktree.workplace) as folder:
            versions, scratch = (
                composed(project, before, spec, folder),
                Scratch(folder / "scratch", worktree.repository),
            )
            plan = make_plan(versions, worktree.tree(head), scratch)
            journal = prepared(plan, worktree, head, scratch)
            ending.enter_context(undisturbed())  # from here on a signal comes too late
            worktree.change(journal, plan.stages, folder)
    return Update(project, before, versions.after, plan.changes)


def renewed(known: Record, given: Mapping[str, object]) -> ProjectSpec:
    """Return what a project would be if it were written today; a question that is new gets its default."""
    if Version(known.runtime_version) > Version(scaffold.__version__):
        raise record.newer(Path(RECORD), f"version {known.runtime_version} wrote it, this is {scaffold.__version__}")
    template = catalog.find(known.template)
    answers = {name: answer for name, answer in known.answers.items() if name in template.questions}
    return build(template, known.project, {**answers, **given}, bare=known.bare)


def is_due(known: Record, spec: ProjectSpec) -> bool:
    """Say whether a project was written by another version or with other answers."""
    written = (known.template_version, known.runtime_version, known.answers)
    return written != (spec.template.version, scaffold.__version__, spec.answers)


def composed(project: Path, before: Record, spec: ProjectSpec, folder: Path) -> Versions:
    """Write a project as it is written today into a folder, beside the one that there is."""
    draft = folder / "draft"
    compose(spec, folder / "template", draft)
    return Versions(project, draft, before, record.parse(draft / RECORD))


def prepared(plan: Plan, worktree: Worktree, head: str, scratch: Scratch) -> Journal:
    """Give the project's repository what a plan needs; RefusedError where something of the person's would be lost."""
    committed = worktree.tree(head)
    refuse_obstacles(worktree, plan.edits, committed, head)
    sides = [side for sides in plan.stages.values() for side in sides.values()]
    scratch.send([*filter(None, plan.edits.values()), *sides], worktree.repository)
    return Journal({path: committed.get(path) for path in plan.edits}, plan.edits, tuple(plan.stages))


def abort(project: Path) -> list[str]:
    """Take back an update that was interrupted, or is not committed yet, and return the files that it had changed."""
    worktree = Worktree(project)
    with ExitStack() as ending, worktree.locked():
        journal = worktree.under_way()
        if journal is None:
            raise nothing_to_abort(project)
        if journal.is_complete:
            refuse_edited(worktree, journal)
        sweep(worktree.workplace)
        with workshop(worktree.workplace) as folder:
            ending.enter_context(undisturbed())
            worktree.take_back(journal, folder)
    return list(journal.before)

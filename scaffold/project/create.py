"""Makes a project in one step: either all of it is there, or nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaffold.project import layers, record, repository
from scaffold.project.catalog import FileClass, rule_for
from scaffold.project.questions import filled
from scaffold.project.render import render
from scaffold.project.spec import ProjectSpec
from scaffold.project.workshop import check_target, faults_explained, publish, sweep, undisturbed, workshop

Versioning = Literal["committed", "off", "inside another repository", "git is missing"]
OWN_PURPOSES = {
    record.RECORD: "where the project comes from, for later updates",
    record.BASE: "the project as its template wrote it, the base of the next update",
}


@dataclass(frozen=True, slots=True)
class ProjectFile:
    """One file of a project, what it is for, and whose it is."""

    path: str
    purpose: str
    file_class: FileClass


@dataclass(frozen=True, slots=True)
class Created:
    """What was made, or in a dry run would be: where, which files, and whether a commit holds them."""

    path: Path
    files: tuple[ProjectFile, ...]
    edit: str
    versioning: Versioning


def create(
    spec: ProjectSpec,
    target: Path,
    *,
    git: bool = True,
    dry_run: bool = False,
    edits: Mapping[str, str] | None = None,
) -> Created:
    """Write the project as `target`; interrupted at any point, the target is absent or complete.

    edits: texts of files that the person brings along; for later updates they are changes of theirs.
    """
    target = target.absolute()
    with faults_explained(target), ExitStack() as ending:
        sweep(target)
        check_target(target)
        with workshop(target) as folder:
            draft = folder / target.name
            compose(spec, folder / "template", draft)
            for path, text in (edits or {}).items():
                (draft / path).write_text(text, encoding="utf-8")
            versioning: Versioning = commit(spec, draft, target) if git else "off"
            created = Created(target, listing(spec, draft), first_edit(spec), versioning)
            if not dry_run:
                ending.enter_context(undisturbed())  # from here on a signal comes too late
                publish(draft, target)
    return created


def rehearse(spec: ProjectSpec) -> Created:
    """Return what `create` would write, made and thrown away in the system's folder for temporary files."""
    with tempfile.TemporaryDirectory(prefix="scaffold-") as folder:
        return create(spec, Path(folder) / spec.names.project, git=False, dry_run=True)


def compose(spec: ProjectSpec, source: Path, draft: Path) -> None:
    """Render a project and its record into a new folder."""
    render(layers.stage(spec.template, spec.choices(), source), spec, draft)
    record.write(spec, draft)


def commit(spec: ProjectSpec, draft: Path, target: Path) -> Versioning:
    """Make the first commit, or say why there is none."""
    if repository.work_tree_around(target.parent):
        return "inside another repository"
    if not repository.is_available():
        return "git is missing"
    repository.first_commit(draft, f"Start {spec.names.project} from {spec.template.name} {spec.template.version}")
    return "committed"


def listing(spec: ProjectSpec, draft: Path) -> tuple[ProjectFile, ...]:
    """Return every file of a draft with its purpose, sorted by path."""
    rules = record.file_rules(spec)
    described = [(path, rule_for(rules, path)) for path in record.project_files(draft)]
    files = [ProjectFile(path, rule.purpose, rule.file_class) for path, rule in described]
    files += [ProjectFile(path, purpose, "managed") for path, purpose in OWN_PURPOSES.items()]
    return tuple(sorted(files, key=lambda file: file.path))


def first_edit(spec: ProjectSpec) -> str:
    """Return the path of the file that a person edits first."""
    return filled(spec.template.edit, spec.context())

"""What a project remembers of its template: `.scaffold/record.yml`, and its pristine files in `.scaffold/base.zip`."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import scaffold
from scaffold.errors import ArtefactError, RefusedError, Where, shown
from scaffold.project.catalog import SAFE_LOADER, FileClass, FileRule, rule_for
from scaffold.project.questions import Answer, filled
from scaffold.project.spec import ProjectSpec

FOLDER = ".scaffold"
RECORD = f"{FOLDER}/record.yml"
BASE = f"{FOLDER}/base.zip"
FORMAT = 1
HEADER = "# Written by scaffold: where this project comes from, the base of later updates; do not edit it.\n"
TEXTS = ("template", "source", "template_version", "runtime_version", "project", "base_sha256")
OLDEST_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of the pristine project: whose it is, and the git blob id of its content."""

    file_class: FileClass
    blob: str


@dataclass(frozen=True, slots=True)
class Record:
    """Where a project comes from, and what it looked like when its template wrote it last."""

    template: str
    source: str
    template_version: str
    runtime_version: str
    project: str
    bare: bool
    answers: Mapping[str, Answer]
    base_sha256: str
    files: Mapping[str, FileRecord]


def write(spec: ProjectSpec, draft: Path) -> Record:
    """Write the record and the base of a freshly rendered project into it."""
    paths = project_files(draft)
    (draft / FOLDER).mkdir(exist_ok=True)
    write_base(draft, paths)
    rules = file_rules(spec)
    record = Record(
        template=spec.template.name,
        source="builtin",
        template_version=spec.template.version,
        runtime_version=scaffold.__version__,
        project=spec.names.project,
        bare=spec.bare,
        answers=dict(spec.answers),
        base_sha256=sha256(draft / BASE),
        files={path: FileRecord(rule_for(rules, path).file_class, blob_id(draft / path)) for path in paths},
    )
    text = yaml.safe_dump(as_data(record), sort_keys=False, allow_unicode=True, width=120)
    (draft / RECORD).write_text(HEADER + text, encoding="utf-8")
    return record


def file_rules(spec: ProjectSpec) -> tuple[FileRule, ...]:
    """Return what the template says about its files, the names in their paths filled in."""
    context = spec.context()
    return tuple(FileRule(filled(rule.pattern, context), rule.purpose, rule.file_class) for rule in spec.template.files)


def project_files(draft: Path) -> list[str]:
    """Return the paths of the template's files in a draft, sorted; the record's own are left out."""
    found = (path.relative_to(draft) for path in draft.rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if path.parts[0] not in {FOLDER, ".git"})


def write_base(draft: Path, paths: list[str]) -> None:
    """Write the pristine files as a zip that has the same bytes for the same files."""
    with zipfile.ZipFile(draft / BASE, "w", zipfile.ZIP_STORED) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path, OLDEST_DATE)
            entry.create_system = 3  # unix, on every machine
            executable = (draft / path).stat().st_mode & 0o100
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            archive.writestr(entry, (draft / path).read_bytes())


def blob_id(path: Path) -> str:
    """Return the id under which git stores a file's content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def sha256(path: Path) -> str:
    """Return the sha256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def as_data(record: Record) -> dict[str, Any]:
    """Return a record as the plain data of `record.yml`."""
    fields = asdict(record) | {"answers": dict(record.answers)}
    fields["files"] = {path: {"class": file.file_class, "blob": file.blob} for path, file in record.files.items()}
    return {"format": FORMAT, **fields}


def read(project: Path) -> Record:
    """Return a project's record, its base checked; RefusedError without one, ArtefactError where it is damaged."""
    path = project / RECORD
    if not path.is_file():
        raise no_project(project)
    record = parse(path)
    base = project / BASE
    if not base.is_file() or sha256(base) != record.base_sha256:
        raise unreadable(base, "its sha256 is not the one in the record" if base.is_file() else "it is missing")
    return record


def parse(path: Path) -> Record:
    """Return the content of a `record.yml`, every field of the expected type."""
    try:
        data = yaml.load(path.read_bytes(), Loader=SAFE_LOADER)
        if data.pop("format") > FORMAT:
            raise newer(path, f"the format of its record is above {FORMAT}")
        data["files"] = {str(key): FileRecord(value["class"], value["blob"]) for key, value in data["files"].items()}
        record = Record(**data)
        valid = isinstance(record.answers, dict) and all(isinstance(getattr(record, key), str) for key in TEXTS)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise unreadable(path, f"{type(error).__name__}: {error}") from error
    if not valid:
        raise unreadable(path, "a field has the wrong type")
    return record


def no_project(folder: Path) -> RefusedError:
    """Return the error of a folder that no project is in."""
    return RefusedError(
        f"{shown(str(folder))} is no project of scaffold",
        because=f"it has no {RECORD}",
        fix="go to the folder of a project that `scaffold new` wrote",
        code="refused.no-project",
    )


def newer(path: Path, because: str) -> RefusedError:
    """Return the error of a project that this version is too old for."""
    return RefusedError(
        "a newer scaffold wrote this project",
        because=because,
        fix="pip install --upgrade scaffold-ml",
        where=Where(file=str(path)),
        code="refused.newer",
    )


def unreadable(path: Path, because: str) -> ArtefactError:
    """Return the error of a damaged file of the record."""
    return ArtefactError(
        "the record of this project is damaged",
        because=because,
        fix=f"take both files of {FOLDER} from one commit: git checkout COMMIT -- {FOLDER}",
        where=Where(file=str(path)),
        code="artefact.record",
    )

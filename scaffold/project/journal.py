"""What an update does to files, on the disk before the first of them is touched, so that it can be taken back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from scaffold.errors import ArtefactError, Where
from scaffold.project.repository import Entry
from scaffold.project.workshop import synchronise

Edits = Mapping[str, Entry | None]


@dataclass(frozen=True, slots=True)
class Journal:
    """An update that is under way, or is not committed yet: every path that it changes, as it was and as it will be."""

    before: Edits
    after: Edits
    conflicts: tuple[str, ...]
    is_complete: bool = False


def save(journal: Journal, path: Path) -> None:
    """Write a journal in one step."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(asdict(journal)), encoding="utf-8")
    synchronise(draft)
    draft.replace(path)
    synchronise(path.parent)


def load(path: Path) -> Journal | None:
    """Return the journal of an update that is not over; None where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        before, after = _entries(content["before"]), _entries(content["after"])
        return Journal(before, after, tuple(content["conflicts"]), content["is_complete"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ArtefactError(
            "what an update noted down cannot be read",
            because=f"{type(error).__name__}: {error}",
            fix="look at `git status`, then remove the file",
            where=Where(file=str(path)),
            code="artefact.journal",
        ) from error


def _entries(side: Mapping[str, Mapping[str, str] | None]) -> Edits:
    return {path: Entry(**entry) if entry else None for path, entry in side.items()}

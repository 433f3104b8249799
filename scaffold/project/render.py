"""The one call of copier: a staged template and a spec become files."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scaffold.errors import ArtefactError, Where
from scaffold.project.catalog import damaged
from scaffold.project.layers import SUFFIX, TREE
from scaffold.project.questions import filled
from scaffold.project.spec import ProjectSpec


def render(source: Path, spec: ProjectSpec, draft: Path) -> None:
    """Render a staged template into a new folder; ArtefactError names the template file that cannot be rendered."""
    import copier  # 0.3 s: only who renders pays for it

    try:
        with no_programs():
            copier.run_copy(
                str(source),
                draft,
                data=spec.context(),
                settings=copier.Settings(),  # the person's own trust list and defaults do not count here
                defaults=True,
                quiet=True,
                unsafe=False,
            )
    except OSError:
        raise  # the machine's fault, not the template's
    except Exception as error:
        raise failed(error, source, spec) from error
    drop_empty(source, spec, draft)


@contextmanager
def no_programs() -> Iterator[None]:
    """Hide every program from copier: templates need none, and it would start git once for each file."""
    from plumbum import local

    with local.env(PATH=""):
        yield


def failed(error: Exception, source: Path, spec: ProjectSpec) -> ArtefactError:
    """Return the error of a template that cannot be rendered, at the line of the template where it is known."""
    fault = damaged(spec.template.layers[-1], f"{type(error).__name__}: {error}")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(SUFFIX)]
    if frames:
        path = Path(frames[-1].filename)
        name = path.relative_to(source / TREE) if path.is_relative_to(source / TREE) else Path(path.name)
        fault.where = Where(file=f"{spec.template.name}/{name.as_posix()}", line=frames[-1].lineno)
    return fault


def drop_empty(source: Path, spec: ProjectSpec, draft: Path) -> None:
    """Remove files whose condition rendered them to nothing, unless `template.yml` names them."""
    context = spec.context()
    declared = {filled(rule.pattern, context) for rule in spec.template.files if not rule.is_pattern}
    for staged in (source / TREE).rglob(f"*{SUFFIX}"):
        path = filled(staged.relative_to(source / TREE).as_posix().removesuffix(SUFFIX), context)
        rendered = draft / path
        if path not in declared and rendered.is_file() and not rendered.read_bytes().strip():
            rendered.unlink()
            drop_empty_folders(rendered.parent, draft)


def drop_empty_folders(folder: Path, top: Path) -> None:
    """Remove a folder that holds nothing, and those above it that then hold nothing."""
    while folder != top and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent

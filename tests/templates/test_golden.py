"""What templates write, as it was last agreed on; a stored project is its record and its base.

`SCAFFOLD_UPDATE_GOLDEN=1 pytest tests/templates/test_golden.py` renews it, and the stored project of this version.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import scaffold
from scaffold.project import catalog, record
from scaffold.project.create import rehearse
from scaffold.project.spec import build

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "golden"
STORED = TESTS / "fixtures" / "projects"
GUARDED = ("mymodel/model.py", "mymodel/task.py", "train.py", "conf/train.yaml")
UPDATE = os.environ.get("SCAFFOLD_UPDATE_GOLDEN") == "1"


@pytest.mark.parametrize("template", catalog.template_names())
def test_what_is_written_is_what_was_agreed_on(new, template):
    project = new(template)
    texts = {"tree": tree(template)}
    texts |= {Path(path).name: (project / path).read_text("utf-8") for path in GUARDED if (project / path).is_file()}
    for name, text in texts.items():
        golden = GOLDEN / template / f"{name}.txt"
        if UPDATE:
            golden.parent.mkdir(parents=True, exist_ok=True)
            golden.write_text(text, encoding="utf-8")
        assert text == golden.read_text(encoding="utf-8")


def stored_name(project: Path) -> str:
    return f"{project.parent.name}, {project.name}"


def tree(template: str) -> str:
    files = rehearse(build(catalog.find(template), "mymodel", {}, runtime_requirement="")).files
    return "".join(f"{file.path} ({file.file_class}): {file.purpose}\n" for file in files)


@pytest.mark.parametrize("template", catalog.template_names())
def test_this_version_has_stored_a_project_of_the_template(new, template):
    stored = STORED / scaffold.__version__ / template
    if UPDATE:
        shutil.rmtree(stored, ignore_errors=True)
        shutil.copytree(new(template) / record.FOLDER, stored / record.FOLDER)
    assert record.read(stored).template == template


@pytest.mark.parametrize(
    "project", sorted(path.parents[1] for path in STORED.glob(f"*/*/{record.RECORD}")), ids=stored_name
)
def test_a_stored_project_is_as_its_version_wrote_it(project, unpacked):
    known, files = record.read(project), unpacked(project)
    assert known.runtime_version == project.parent.name
    assert {path: file.blob for path, file in known.files.items()} == {
        path: record.blob_id(files / path) for path in record.project_files(files)
    }
    assert "file://" not in (files / "pyproject.toml").read_text(encoding="utf-8")

"""The record and the base travel with a project, and damage to them is noticed."""

import hashlib
import subprocess
import zipfile

import pytest
import yaml

from scaffold import __version__
from scaffold.errors import ArtefactError, RefusedError
from scaffold.project import catalog, record
from scaffold.project.create import create
from scaffold.project.spec import build


@pytest.fixture
def project(catalogue, tmp_path):
    spec = build(catalog.find("tagger", catalogue()), "mymodel", {"description": "${a}: 'b' # c", "extra": True})
    return create(spec, tmp_path / "mymodel", git=False).path


def test_the_record_says_where_the_project_comes_from(project):
    read = record.read(project)
    assert (read.template, read.template_version, read.runtime_version) == ("tagger", "1.2.0", __version__)
    assert (read.project, read.bare, read.source) == ("mymodel", False, "builtin")
    assert read.answers["description"] == "${a}: 'b' # c"
    assert read.files["data/train.tsv"].file_class == "seed"


def test_it_names_every_file_with_the_id_that_git_gives_it(project):
    files = record.read(project).files
    assert sorted(files) == list(record.project_files(project))
    for path, file in files.items():
        try:
            named = subprocess.run(["git", "hash-object", project / path], capture_output=True, text=True, check=True)
        except FileNotFoundError:
            pytest.skip("git is not installed")
        assert named.stdout.strip() == file.blob


def test_it_holds_no_path_of_this_machine(project, tmp_path):
    assert str(tmp_path) not in (project / record.RECORD).read_text()


def test_the_base_holds_the_pristine_files_sorted_stored_and_undated(project):
    with zipfile.ZipFile(project / record.BASE) as base:
        entries = base.infolist()
        assert [entry.filename for entry in entries] == record.project_files(project)
        assert all(entry.date_time == (1980, 1, 1, 0, 0, 0) for entry in entries)
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        assert all(base.read(entry) == (project / entry.filename).read_bytes() for entry in entries)
    assert record.read(project).base_sha256 == hashlib.sha256((project / record.BASE).read_bytes()).hexdigest()


def test_a_folder_without_a_record_is_no_project(tmp_path):
    with pytest.raises(RefusedError, match="is no project of scaffold") as refused:
        record.read(tmp_path)
    assert refused.value.because == "it has no .scaffold/record.yml"


def test_a_record_of_a_newer_format_is_refused(project):
    data = yaml.safe_load((project / record.RECORD).read_text())
    (project / record.RECORD).write_text(yaml.safe_dump(data | {"format": 99}))
    with pytest.raises(RefusedError, match="a newer scaffold wrote this project"):
        record.read(project)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.pop("template"),
        lambda data: data.update(answers=[1]),
        lambda data: data.update(project=3),
        lambda data: data.update(files={"a.py": 1}),
        lambda data: data.update(surplus=1),
        lambda data: data.update(format="one"),
    ],
)
def test_a_damaged_record_is_noticed(project, change):
    data = yaml.safe_load((project / record.RECORD).read_text())
    change(data)
    (project / record.RECORD).write_text(yaml.safe_dump(data))
    with pytest.raises(ArtefactError, match="the record of this project is damaged") as damaged:
        record.read(project)
    assert damaged.value.fix.endswith("git checkout COMMIT -- .scaffold")


@pytest.mark.parametrize("content", [b"", b"\xff", b"[", b"text"])
def test_a_record_that_is_no_yaml_is_damaged(project, content):
    (project / record.RECORD).write_bytes(content)
    with pytest.raises(ArtefactError):
        record.read(project)


def test_a_changed_or_missing_base_is_noticed(project):
    base = project / record.BASE
    changed = bytearray(base.read_bytes())
    changed[50] ^= 1
    base.write_bytes(changed)
    with pytest.raises(ArtefactError) as damaged:
        record.read(project)
    assert "sha256" in damaged.value.because
    base.unlink()
    with pytest.raises(ArtefactError) as missing:
        record.read(project)
    assert missing.value.because == "it is missing"

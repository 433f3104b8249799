"""The folder is the registry, and what a `template.yml` says is checked before it is used."""

import pytest

from scaffold.errors import ArtefactError, UsageError
from scaffold.project import catalog
from scaffold.project.create import rehearse
from scaffold.project.spec import build


def test_every_folder_with_a_manifest_is_a_template(catalogue):
    root = catalogue({"other/template.yml": "summary: s\nversion: '1'\n", "_hidden/template.yml": "summary: s\n"})
    (root / "no-manifest").mkdir()
    assert catalog.template_names() == ["other", "tagger"]


def test_a_template_adds_to_the_base_key_by_key(catalogue):
    catalogue({"tagger/template.yml": "summary: s\nquestions:\n  description: {help: Changed.}\n  package: null\n"})
    template = catalog.find("tagger")
    assert template.version == "1.2.0"
    assert list(template.questions) == ["description"]
    assert template.questions["description"].help == "Changed."
    assert template.questions["description"].default == "About {{ project }}."


def test_the_templates_of_the_checkout_are_found(monkeypatch):
    monkeypatch.delenv("SCAFFOLD_TEMPLATES", raising=False)
    assert catalog.templates_root().name in {"templates", "_templates"}


def test_an_unknown_template_gets_the_nearest_name(catalogue):
    catalogue()
    with pytest.raises(UsageError, match="no template is called 'taggr'") as unknown:
        catalog.find("taggr")
    assert unknown.value.fix == "did you mean 'tagger'?"


@pytest.mark.parametrize(
    "manifest, reason",
    [
        ("summary: [", "expected"),
        ("- a\n", "expected keys and values"),
        ("version: '1'\n", "summary is missing"),
        ("summary: s\nsumary: s\n", "sumary is unknown"),
        ("summary: 3\n", "wrong type"),
        ("summary: s\nquestions: {size: small}\n", "questions.size is 'small'"),
        ("summary: s\nquestions: {size: {typ: str}}\n", "questions.size.typ is unknown"),
        ("summary: s\nquestions: {size: {type: text}}\n", "questions.size.type is 'text', expected one of str"),
        ("summary: s\nquestions: {size: {type: bool, default: small}}\n", "questions.size.default"),
        ("summary: s\nquestions: {size: {type: choice, choices: [a], default: b}}\n", "questions.size.default"),
        ("summary: s\nquestions: {size: {default: '{{ nme }}'}}\n", "refers to nme"),
        ("summary: s\nquestions: {project: {type: str}}\n", "not a name that a question may have"),
        ("summary: s\nfiles: {a.py: {class: mine}}\n", "files.a.py.class is 'mine', expected managed or seed"),
        ("summary: s\nfiles: {a.py: {purpose: code}}\n", "no file gives a.py"),
    ],
)
def test_a_damaged_manifest_is_named_with_its_fault(catalogue, manifest, reason):
    root = catalogue({"tagger/template.yml": manifest})
    with pytest.raises(ArtefactError, match="a template cannot be read") as damaged:
        rehearse(build(catalog.find("tagger", root), "mymodel", {}))
    assert reason in damaged.value.because
    assert "tagger" in damaged.value.where.file
    assert "mend it" in damaged.value.fix


def test_a_missing_base_and_a_missing_catalogue_are_damage(tmp_path, monkeypatch, catalogue):
    root = catalogue()
    (root / "_base").rename(root / "gone")
    with pytest.raises(ArtefactError, match="cannot be read"):
        catalog.find("tagger", root)
    monkeypatch.setenv("SCAFFOLD_TEMPLATES", str(tmp_path / "nowhere"))
    with pytest.raises(ArtefactError) as missing:
        catalog.templates_root()
    assert "folder of templates is missing" in missing.value.because
    assert f"SCAFFOLD_TEMPLATES, which is '{tmp_path / 'nowhere'}'" in missing.value.fix


def test_templates_that_were_installed_are_installed_anew(monkeypatch):
    monkeypatch.delenv("SCAFFOLD_TEMPLATES", raising=False)
    damaged = catalog.damaged(catalog.INSTALLED / "encoder" / "template.yml", "it is cut off")
    assert damaged.what == "the installation is damaged: a template cannot be read"
    assert damaged.fix == "pip install --force-reinstall scaffold-ml"

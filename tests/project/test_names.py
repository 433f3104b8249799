"""Names: each spelling is derived once, and each rule refuses with a suggestion that keeps it."""

import builtins
import keyword
import random
import sys

import pytest

from scaffold.errors import UsageError
from scaffold.project import catalog, names
from scaffold.project.spec import build


def test_every_spelling_comes_from_one_name():
    assert names.derive("my-2nd_model") == names.Names("my-2nd_model", "my_2nd_model", "My2ndModel")


@pytest.mark.parametrize("name", ["mymodel", "a", "m1", "my-model", "my_model", "a-b-c", "bert2", "x" * 63])
def test_plain_names_are_valid(name):
    assert names.derive(name).project == name


REFUSED = {
    "": "empty",
    "My-Model": "allowed are",
    "MYMODEL": "allowed are",
    "2nd": "allowed are",
    "my model": "allowed are",
    "my--model": "allowed are",
    "my-": "allowed are",
    "_my": "allowed are",
    "-rf": "allowed are",
    "--help": "allowed are",
    "my.model": "allowed are",
    "model\n": "allowed are",
    "mo\0del": "allowed are",
    "mo\tdel": "allowed are",
    "modèle": "allowed are",
    "mоdel": "allowed are",
    "ﬁne": "allowed are",
    "model\u202e": "allowed are",
    "\ufeffmodel": "allowed are",
    "🙂": "allowed are",
    "$(id)": "allowed are",
    "{{ x }}": "allowed are",
    ".": "not a path",
    "..": "not a path",
    "~": "not a path",
    "a/b": "not a path",
    "/abs": "not a path",
    "../up": "not a path",
    "a\\b": "not a path",
    "x" * 64: "63 are allowed",
    "x" * 300: "63 are allowed",
    "class": "keyword",
    "match": "keyword",
    "none": "keyword",
    "true": "keyword",
    "list": "builtin",
    "valueerror": "builtin",
    "value-error": "ValueError",
    "json": "standard library",
    "torch": "'torch'",
    "lightning": "'lightning'",
    "hydra": "'hydra'",
    "hydra-core": "'hydra_core'",
    "scaffold-ml": "'scaffold_ml'",
    "transformers": "'transformers'",
    "copier": "'copier'",
    "click": "'click'",
    "numpy": "'numpy'",
    "data": "of its own",
    "conf": "of its own",
    "tests": "of its own",
    "runs": "of its own",
    "train": "of its own",
    "scaffold": "of its own",
    "docs": "of its own",
    "con": "Windows",
    "nul": "Windows",
    "com1": "Windows",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_name_gets_its_rule_and_a_valid_suggestion(name):
    with pytest.raises(UsageError) as refused:
        names.derive(name)
    assert REFUSED[name] in refused.value.because
    suggested = refused.value.fix.rsplit(" ", 1)[-1]
    assert names.derive(suggested).project == suggested
    assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ["MyModel", "my model", "2nd-try", "data", "modèle", "x" * 300, "🙂", "class", ""])
def test_a_suggestion_stays_close(name):
    expected = {
        "MyModel": "my-model",
        "my model": "my-model",
        "2nd-try": "my-2nd-try-model",
        "data": "data-model",
        "modèle": "modele",
        "x" * 300: "x" * 54,
        "🙂": "my-model",
        "class": "class-model",
        "": "my-model",
    }
    assert names.suggestion(name) == expected[name]


def test_no_name_of_python_is_free():
    taken = {*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist, *dir(builtins)}
    for name in sorted({name.lower() for name in taken}):
        with pytest.raises(UsageError):
            names.derive(name)


def test_any_name_is_refused_with_a_valid_suggestion_or_is_an_importable_package():
    chosen = random.Random(1)
    alphabet = "abcxyz019-_ .A/é\n$"
    for _ in range(5000):
        name = "".join(chosen.choices(alphabet, k=chosen.randint(0, 8)))
        try:
            derived = names.derive(name)
        except UsageError:
            assert names.derive(names.suggestion(name))
        else:
            assert derived.package.isidentifier()
            assert not keyword.iskeyword(derived.package)
            assert derived.class_name.isidentifier()
            assert derived.class_name[0].isupper()


@pytest.mark.parametrize("name", ["backbone", "other-task", "own-options"])
def test_a_name_whose_class_the_template_uses_is_refused(catalogue, name):
    code = (
        "from a.b import (\n    Backbone,\n    x,\n)\nfrom c import OtherTask\n\n\nclass OwnOptions(Base):\n    pass\n"
    )
    template = catalog.find("tagger", catalogue({"tagger/{{ package }}/task.py.jinja": code}))
    with pytest.raises(UsageError) as refused:
        build(template, name, {})
    assert names.class_name(name) in refused.value.because
    assert refused.value.fix.endswith(f" {name}-model")
    assert build(template, f"{name}-model", {})

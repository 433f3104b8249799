"""Answers: typed and valid, or refused together, each with what was expected."""

import pytest

from scaffold.errors import UsageError
from scaffold.project import catalog
from scaffold.project.spec import build


@pytest.fixture
def tagger(catalogue):
    root = catalogue({"words/template.yml": "summary: s\nquestions: {word: {type: str, default: a/b}}\n"})
    return lambda given, name="tagger": build(catalog.find(name, root), "my-model", given)


def test_defaults_refer_to_the_names(tagger):
    spec = tagger({})
    assert spec.answers == {
        "package": "my_model",
        "description": "About my-model.",
        "size": "small",
        "extra": False,
    }


def test_a_package_of_another_name_is_used_everywhere(tagger):
    context = tagger({"package": "other"}).context()
    assert (context["project"], context["package"], context["class_name"]) == ("my-model", "other", "MyModel")


@pytest.mark.parametrize("word, value", [("true", True), ("Yes", True), ("1", True), ("off", False), (True, True)])
def test_a_yes_or_no_question_reads_many_words(tagger, word, value):
    assert tagger({"extra": word}).answers["extra"] is value


@pytest.mark.parametrize(
    "given, what, because",
    [
        ({"size": "huge"}, "'huge' is no answer to 'size'", "expected one of small, large"),
        ({"extra": "maybe"}, "'maybe' is no answer to 'extra'", "expected true or false"),
        ({"description": 3}, "3 is no answer to 'description'", "expected text, got int"),
        ({"description": None}, "None is no answer", "expected text, got NoneType"),
        ({"package": "my-model"}, "cannot be the name of a Python package", "allowed are"),
        ({"package": "torch"}, "cannot be the name of a Python package", "'torch'"),
        ({"package": "tests"}, "cannot be the name of a Python package", "of its own"),
        ({"sise": "small"}, "the template asks no question 'sise'", "it asks package"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(tagger, given, what, because):
    with pytest.raises(UsageError) as refused:
        tagger(given)
    assert what in refused.value.what
    assert because in refused.value.because


def test_a_word_is_one_word(tagger):
    assert tagger({"word": "org/name-1.0"}, "words").answers["word"] == "org/name-1.0"
    with pytest.raises(UsageError) as refused:
        tagger({"word": "two words"}, "words")
    assert refused.value.because == "allowed are letters, digits and ._/+:@-"


def test_near_names_are_suggested(tagger):
    with pytest.raises(UsageError) as question:
        tagger({"sise": "small"})
    with pytest.raises(UsageError) as choice:
        tagger({"size": "smal"})
    assert (question.value.fix, choice.value.fix) == ("did you mean 'size'?", "--set size=small")


def test_all_problems_are_reported_at_once(tagger):
    with pytest.raises(UsageError, match="3 answers cannot be used") as refused:
        tagger({"size": "huge", "extra": "maybe", "sise": "x"})
    assert len(refused.value.details) == 3


def test_each_text_has_one_spelling_per_format(tagger):
    context = tagger({"description": 'a "b" ${c} \\', "extra": True}).context()
    spellings = {key: context[key] for key in context if key.startswith(("description", "extra"))}
    assert spellings == {
        "description": 'a "b" ${c} \\',
        "description_toml": '"a \\"b\\" ${c} \\\\"',
        "description_yaml": '"a \\"b\\" \\\\${c} \\\\"',
        "description_py": "'a \"b\" ${c} \\\\'",
        "description_text": 'a "b" \\${c} &#92;',
        "extra": True,
        "extra_toml": "true",
        "extra_yaml": "true",
        "extra_py": "True",
        "extra_text": "yes",
    }

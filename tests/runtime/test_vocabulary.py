"""The vocabulary: sorted, immutable, and the same again from its file."""

from __future__ import annotations

import pickle

import pytest

from scaffold.errors import ArtefactError, ConfigError
from scaffold.runtime.samples import BadRow
from scaffold.runtime.vocabulary import Vocabulary


@pytest.fixture
def vocabulary():
    return Vocabulary.from_samples([{"labels": "sports"}, {"labels": ["world", "arts"]}, {"labels": None}])


def test_elements_are_sorted_whatever_the_order_of_the_samples(vocabulary):
    assert vocabulary.elements("labels") == ("arts", "sports", "world")
    assert vocabulary == Vocabulary.from_samples([{"labels": ["arts", "world", "sports", "arts"]}])


def test_index_and_element_are_inverse(vocabulary):
    assert [vocabulary.index("labels", vocabulary.element("labels", i)) for i in range(3)] == [0, 1, 2]
    assert vocabulary.size("labels") == 3
    assert vocabulary.fields == ("labels",)


def test_classys_names_are_aliases(vocabulary):
    assert vocabulary.get_size(k="labels") == 3
    assert vocabulary.get_idx(k="labels", elem="sports") == 1
    assert vocabulary.get_elem(k="labels", idx=1) == "sports"


def test_an_unseen_element_is_a_finding_with_the_nearest_one(vocabulary):
    with pytest.raises(BadRow) as caught:
        vocabulary.index("labels", "sport")
    assert str(caught.value) == "'sport' is not among the 3 labels of training; did you mean 'sports'?"


def test_an_unseen_element_with_no_neighbour_lists_what_is_known(vocabulary):
    with pytest.raises(BadRow, match="known are 'arts', 'sports', 'world'"):
        vocabulary.index("labels", "zzz")


def test_an_unknown_field_is_named(vocabulary):
    with pytest.raises(KeyError, match="no field 'label'; it has labels"):
        vocabulary.size("label")
    with pytest.raises(KeyError, match="no field 'label'; it has labels"):
        vocabulary.index("label", "arts")


@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_out_of_range_is_refused(vocabulary, index):
    with pytest.raises(IndexError, match=f"Expected an index of 'labels' from 0 to 2, got {index}"):
        vocabulary.element("labels", index)


def test_rare_elements_can_be_left_out():
    assert Vocabulary.from_counts({"words": {"a": 3, "b": 1}}, at_least=2).elements("words") == ("a",)


def test_an_element_that_stands_twice_is_refused():
    with pytest.raises(ValueError, match="Expected every element of 'labels' once, got 'a' twice"):
        Vocabulary({"labels": ["a", "b", "a"]})


def test_a_file_and_the_folder_of_a_run_give_the_same_vocabulary(vocabulary, tmp_path):
    hostile = Vocabulary({"labels": ["é\u2028", "no", "null", '"', "\n"], "tags": []})
    hostile.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path) == Vocabulary.load(tmp_path / "vocabulary.json") == hostile
    assert hostile != vocabulary


def test_plain_data_and_pickle_give_the_same_vocabulary(vocabulary):
    assert Vocabulary.from_dict(vocabulary.as_dict()) == vocabulary
    assert pickle.loads(pickle.dumps(vocabulary)) == vocabulary
    assert hash(Vocabulary.from_dict(vocabulary.as_dict())) == hash(vocabulary)


def test_the_labels_of_classy_keep_their_order_without_its_own_two(tmp_path):
    text = "<pad>\t0\n<unk>\t1\nworld news\t2\nsports\t4\narts\t3\n"
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    found = Vocabulary.load(tmp_path)
    assert found.as_dict() == {"labels": ["world news", "arts", "sports"]}
    assert found.source == str(tmp_path)
    assert Vocabulary.load(tmp_path / "labels.txt") == found
    found.save(tmp_path / "vocabulary.json")
    (tmp_path / "labels.txt").write_text("")
    assert Vocabulary.load(tmp_path) == found


@pytest.mark.parametrize("text", ["", "sports", "sports\tx\n", "a\tb\t1\n"])
def test_a_file_that_classy_did_not_write_is_refused(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ArtefactError, match="The vocabulary cannot be read") as caught:
        Vocabulary.load(tmp_path)
    assert caught.value.because == "expected a label, a tab and its number in every line"


def test_a_missing_vocabulary_says_what_to_name(tmp_path):
    with pytest.raises(ConfigError, match="no vocabulary to reuse") as caught:
        Vocabulary.load(tmp_path)
    assert caught.value.where.file == str(tmp_path / "vocabulary.json")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"labels": "a"}', '{"labels": [1]}', '{"labels": ["a", "a"]}'])
def test_a_damaged_vocabulary_is_refused(tmp_path, text):
    (tmp_path / "vocabulary.json").write_text(text)
    with pytest.raises(ArtefactError, match="The vocabulary cannot be read"):
        Vocabulary.load(tmp_path)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "vocabulary.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtefactError, match="The vocabulary cannot be read"):
        Vocabulary.load(tmp_path)


def test_a_vocabulary_of_numbers_has_nothing_to_reuse(tmp_path):
    (tmp_path / "vocabulary.json").write_text('{"labels": []}', encoding="utf-8")
    with pytest.raises(ConfigError, match="There are no labels to reuse here") as caught:
        Vocabulary.load(tmp_path)
    assert caught.value.because.endswith("has learnt numbers, which have no labels")
    assert caught.value.where.key == "data.vocabulary"

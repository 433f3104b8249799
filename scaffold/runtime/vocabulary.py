"""The elements that labels and other symbols are drawn from, numbered once and kept with the model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaffold.errors import ArtefactError, ConfigError, Where, listed, nearest, shown
from scaffold.runtime.samples import BadRow

FILE_NAME = "vocabulary.json"
CLASSYS_FILE = "labels.txt"
CLASSYS_OWN = ("<pad>", "<unk>")


class Vocabulary:
    """An immutable list of elements per field, in sorted order; an element's index is its class number."""

    __slots__ = ("_elements", "_indices", "_source")

    def __init__(self, elements: Mapping[str, Iterable[str]]) -> None:
        self._source: str | None = None  # where it was taken from, for messages; None: from the training rows
        self._elements = {field: tuple(values) for field, values in elements.items()}
        self._indices = {
            field: {value: i for i, value in enumerate(values)} for field, values in self._elements.items()
        }
        for field, values in self._elements.items():
            if len(self._indices[field]) != len(values):
                twice = [value for value, count in Counter(values).items() if count > 1]
                raise ValueError(f"Expected every element of '{field}' once, got {listed(map(shown, twice))} twice.")

    @classmethod
    def from_counts(cls, counts: Mapping[str, Mapping[str, int]], at_least: int = 1) -> Vocabulary:
        """Return the vocabulary of the elements that were seen `at_least` so often, sorted."""
        return cls({field: sorted(v for v, n in seen.items() if n >= at_least) for field, seen in counts.items()})

    @classmethod
    def from_samples(cls, samples: Iterable[Mapping[str, str | Iterable[str] | None]]) -> Vocabulary:
        """Return the vocabulary of samples given as {field: element, elements or None}."""
        counts: dict[str, Counter[str]] = {}
        for sample in samples:
            for field, value in sample.items():
                elements = (value,) if isinstance(value, str) else value or ()
                counts.setdefault(field, Counter()).update(elements)
        return cls.from_counts(counts)

    @property
    def source(self) -> str | None:
        """Where it was taken from; None where it is that of the training rows."""
        return self._source

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that have elements."""
        return tuple(self._elements)

    def elements(self, field: str) -> tuple[str, ...]:
        """Return all elements of a field, in the order of their indices."""
        if field not in self._elements and self._source:
            raise ConfigError(
                f"the vocabulary has no {field}",
                because=f"{shown(self._source)} has {listed(self._elements) or 'none'}: it is of another task",
                fix="set data.vocabulary to a run of this task, or leave it out",
                where=Where(key="data.vocabulary"),
                code="config.vocabulary",
            )
        if field not in self._elements:
            raise KeyError(f"The vocabulary has no field '{field}'; it has {listed(self._elements) or 'none'}.")
        return self._elements[field]

    def size(self, field: str) -> int:
        """Return how many elements a field has."""
        return len(self.elements(field))

    def index(self, field: str, element: str) -> int:
        """Return the number of an element; raises BadRow where it was not seen in training."""
        try:
            return self._indices[field][element]
        except KeyError:
            raise BadRow(self._unseen(field, element)) from None

    def element(self, field: str, index: int) -> str:
        """Return the element that has a number."""
        values = self.elements(field)
        if not 0 <= index < len(values):
            raise IndexError(f"Expected an index of '{field}' from 0 to {len(values) - 1}, got {index}.")
        return values[index]

    def _unseen(self, field: str, element: str) -> str:
        values = self.elements(field)
        near = nearest(element, values)
        hint = f"did you mean {shown(near)}?" if near else f"known are {listed(map(shown, values), 6)}"
        return f"{shown(element)} is not among the {len(values)} {field} of {self._source or 'training'}; {hint}"

    # the names of classy's guide
    def get_size(self, k: str) -> int:
        """Return `size(k)`, under classy's name."""
        return self.size(k)

    def get_idx(self, k: str, elem: str) -> int:
        """Return `index(k, elem)`, under classy's name."""
        return self.index(k, elem)

    def get_elem(self, k: str, idx: int) -> str:
        """Return `element(k, idx)`, under classy's name."""
        return self.element(k, idx)

    def as_dict(self) -> dict[str, list[str]]:
        """Return the vocabulary as plain data."""
        return {field: list(values) for field, values in self._elements.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Iterable[str]]) -> Vocabulary:
        """Return the vocabulary that `as_dict` wrote down."""
        return cls(data)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary as a JSON file."""
        text = json.dumps(self.as_dict(), ensure_ascii=False, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Vocabulary:
        """Read a vocabulary from its file or from the folder of a run; a `labels.txt` of classy will do as well."""
        file = _file_of(Path(path))
        try:
            text = file.read_text(encoding="utf-8")
            data = _of_classy(text) if file.name == CLASSYS_FILE else json.loads(text)
        except FileNotFoundError:
            raise ConfigError(
                "There is no vocabulary to reuse here.",
                because=f"{shown(str(path))} is neither a {FILE_NAME} nor a folder that holds one",
                fix="set data.vocabulary to the folder of a finished run",
                where=Where(file=str(file)),
            ) from None
        except ValueError as problem:
            raise _damaged(file, str(problem)) from None
        vocabulary = cls.from_dict(_checked(data, file))
        if data and not any(data.values()):
            raise ConfigError(
                "There are no labels to reuse here.",
                because=f"{shown(str(path))} has learnt numbers, which have no labels",
                fix="set data.vocabulary to a run with labels, or leave it out",
                where=Where(key="data.vocabulary"),
                code="config.vocabulary",
            )
        vocabulary._source = str(path)
        return vocabulary

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._elements == other._elements

    def __hash__(self) -> int:
        return hash(tuple(self._elements.items()))

    def __repr__(self) -> str:
        return f"Vocabulary({', '.join(f'{field}: {len(values)}' for field, values in self._elements.items())})"


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    of_classy = path / CLASSYS_FILE
    return of_classy if of_classy.is_file() and not (path / FILE_NAME).exists() else path / FILE_NAME


def _of_classy(text: str) -> dict[str, list[str]]:
    """Return the labels of classy's file, which has one and its number in each line, in their order."""
    pairs = [line.split("\t") for line in text.removesuffix("\n").split("\n")]
    if not all(len(pair) == 2 and pair[1].isdecimal() for pair in pairs):
        raise ValueError("expected a label, a tab and its number in every line")
    labels = [label for label, _ in sorted(pairs, key=lambda pair: int(pair[1]))]
    return {"labels": [label for label in labels if label not in CLASSYS_OWN]}


def _checked(data: Any, file: Path) -> dict[str, list[str]]:
    sound = isinstance(data, dict) and all(
        isinstance(values, list) and all(isinstance(value, str) for value in values) and len(set(values)) == len(values)
        for values in data.values()
    )
    if not sound:
        raise _damaged(file, "expected a list of different texts for every field")
    return dict(data)


def _damaged(file: Path, because: str) -> ArtefactError:
    return ArtefactError(
        "The vocabulary cannot be read.",
        because=because,
        fix="take it from another run, or leave data.vocabulary out to make a new one",
        where=Where(file=str(file)),
    )

"""The probe of a project: its own config, its own rows, and its own hooks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
from torch import nn

from scaffold.check.probe import Probe
from scaffold.check.probe_bench import Given, with_shift
from scaffold.check.probe_call import attempt
from scaffold.check.probe_fake import too_large
from scaffold.check.probe_place import Places
from scaffold.check.probe_rows import ROWS
from scaffold.errors import DataError
from scaffold.runtime.batch import Batch, forward_names, kept_features
from scaffold.runtime.data import DataModule, backbone_of
from scaffold.runtime.encoding import encode
from scaffold.runtime.reading.rows import Rows
from scaffold.runtime.samples import BadRow, Sample
from scaffold.runtime.task import Context, Stage, Task

LOOK_AT = 256  # rows, to choose some of different lengths and labels from
CHOSEN = 15


def probe_project(config: Any) -> Probe:
    """Return the probe of the project in the current folder; raises Crashed where its code fails."""
    from scaffold.runtime.recipe import build, model_class

    cls = attempt("importing the model's class", lambda: model_class(config)).get()
    backbone = attempt("reading conf/backbone", lambda: backbone_of(config)).get()
    data = attempt("reading conf/data and conf/task", lambda: DataModule(cls, config, backbone)).get()
    context = attempt("reading the rows", lambda: data.context).get()
    return Probe(project_given(lambda: build(config, context, backbone), data))


class Data(Protocol):
    """What is asked of a DataModule, or of what stands in for one."""

    @property
    def task(self) -> type[Task]:
        """The model's class, with the hooks of its task."""
        ...

    @property
    def context(self) -> Context:
        """What the task knows of its rows."""
        ...

    def rows(self, split: Stage) -> Iterable[Sample]:
        """Return the rows of a split."""
        ...


def project_given(make: Callable[[], nn.Module], data: Data) -> Given:
    """Return what the probe of a model with a DataModule is made of."""
    large = too_large(make)
    rows = ProjectRows(data)
    contract = with_shift(data.task.contract, attempt("encode and collate", lambda: rows.batch(range(ROWS))).get())
    facts, tokenizer = data.context.facts, data.context.processor
    sizes = {"labels": facts["num_labels"]} if "num_labels" in facts else {}
    return Given(
        make=make,
        rows=rows,
        contract=contract,
        places=Places(data.task),
        sizes=sizes,
        pad_id=getattr(tokenizer, "pad_token_id", None) or 0,
        pads_left=getattr(tokenizer, "padding_side", "right") == "left",
        data=data,
        large=large[0] if large else None,
        fake=large[1] if large else nullcontext,
    )


class ProjectRows:
    """A few rows of a project, chosen for different labels and lengths, and batched by its own hooks."""

    def __init__(self, data: Data) -> None:
        self.data, self.task, self.context = data, data.task, data.context

    @cached_property
    def chosen(self) -> list[tuple[Any, Mapping[str, Any]]]:
        """The rows with their features: one of each label in turn, then by length."""
        found = _distinct(islice(self._encoded(), LOOK_AT), self.task.contract.targets)
        by_label: dict[Any, list[Any]] = {}
        for pair in sorted(found, key=lambda pair: self.task.length(pair[1])):
            by_label.setdefault(_label(pair[1], self.task.contract.targets), []).append(pair)
        if not by_label:
            self._refuse()
        return list(islice(_in_turn(list(by_label.values())), CHOSEN))

    def _refuse(self) -> None:
        """Raise what keeps all rows from being encoded, as training says it."""
        rows = self.data.rows("train")
        if isinstance(rows, Rows):
            encode(self.task, rows, self.context, "validation")
        for sample in rows:
            self.task.encode(sample, self.context, "validation")
        raise DataError("no row can be encoded", because="encode makes no features of any", code="data.empty")

    def samples(self, rows: Sequence[int]) -> list[Any]:
        """Return the rows themselves."""
        return [self.chosen[row % len(self.chosen)][0] for row in rows]

    def batch(self, rows: Sequence[int], number: int = 0, stage: Any = "validation") -> Batch:
        """Return the labelled batch of some rows, made by the project's own collate."""
        places = [(row + ROWS * number) % len(self.chosen) for row in rows]
        features = [dict(self.chosen[place][1]) for place in places]
        tensors = self.task.collate(features, self.context, stage, np.random.default_rng(0))
        samples = [self.chosen[place][0] for place in places]
        if "samples" in forward_names(self.task):
            tensors["samples"] = samples
        return Batch(tensors, samples, None, np.array(places), kept_features(self.task, features))

    def _encoded(self) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        for sample in self.data.rows("train"):
            try:
                features = self.task.encode(sample, self.context, "validation")
            except BadRow:
                continue
            for feature in features[:1]:
                feature.pop("truncated", None)
                yield sample, feature


def _distinct(pairs: Iterable[Any], targets: Sequence[str]) -> list[Any]:
    """Return the rows without those that are encoded like an earlier one: no model can tell them apart."""
    found: dict[str, Any] = {}
    for sample, features in pairs:
        key = str([np.asarray(value).tobytes() for name, value in features.items() if name not in targets])
        found.setdefault(key, (sample, features))
    return list(found.values())


def _label(features: Mapping[str, Any], targets: Sequence[str]) -> str:
    return str([features.get(name) for name in targets if np.ndim(features.get(name, 0)) == 0])


def _in_turn(groups: list[list[Any]]) -> Iterator[Any]:
    """Yield from each group in turn, now its shortest and now its longest."""
    turn = 0
    while any(groups):
        for place, group in enumerate(groups):
            if group:
                yield group.pop(0 if (turn + place) % 2 else -1)
        turn += 1

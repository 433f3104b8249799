"""Models of the runtime outside a project: rows are made up for their task, which learns its context from them."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from scaffold.check.probe import Probe
from scaffold.check.probe_call import attempt
from scaffold.check.probe_init import (
    GUESSES,
    LABELS,
    OPTIM,
    TEXTS,
    Unknown,
    cannot_guess,
    needed_arguments,
    small_backbone,
    where,
)
from scaffold.check.probe_project import project_given
from scaffold.check.signatures import INJECTED
from scaffold.runtime.config.objects import trust
from scaffold.runtime.samples import OWN_FIELDS, Sample
from scaffold.runtime.squad import AnswerSample
from scaffold.runtime.task import Context, Stage, Task

TARGETS = ("label", "target_sequence", "tag", "summary", "translation")


@dataclass(frozen=True)
class MadeUp:
    """Rows for a task, in place of a project's data."""

    task: type[Task]
    context: Context
    samples: list[Sample]

    def rows(self, split: Stage) -> list[Sample]:  # noqa: ARG002 - as a DataModule is asked
        """Return the rows."""
        return self.samples


def probe_bound(cls: type[Any], init: Mapping[str, Any]) -> Probe:
    """Return the probe of a model of the runtime, built as `train.py` builds it.

    Raises Unknown for a task whose rows cannot be made up, or a constructor that needs more than is given.
    """
    from scaffold.runtime.recipe import build

    samples = [_sample(cls, row) for row in range(len(TEXTS))]
    names = inspect.signature(cls).parameters
    backbone = small_backbone([text for one in samples for text in cls.texts(one)]) if "backbone" in names else None
    processor = backbone.tokenizer if backbone else None
    options = attempt("the task's options", cls.options_type).get()
    context = attempt("fit", lambda: cls.fit(samples, options, processor, None)).get()
    trust([cls.__module__.partition(".")[0]])
    target = f"{cls.__module__}.{cls.__qualname__}"
    config = OmegaConf.create({"model": {"_target_": target, **_arguments(cls, context, init)}})
    return Probe(project_given(lambda: build(config, context, backbone), MadeUp(cls, context, samples)))


def _arguments(cls: type[Any], context: Context, init: Mapping[str, Any]) -> dict[str, Any]:
    offered = {**GUESSES, **context.facts, "optim_conf": OPTIM}
    needed = [name for name in needed_arguments(cls, init) if name not in INJECTED]
    if unknown := [name for name in needed if name not in offered]:
        raise cannot_guess(cls, unknown)
    return {name: offered[name] for name in needed} | dict(init)


def _sample(cls: type[Any], row: int) -> Sample:
    """Return a row of texts, or of words, and its label; each label has several rows."""
    hints = typing.get_type_hints(cls.sample_type)
    given = {}
    for item in dataclasses.fields(cls.sample_type):
        if item.name in OWN_FIELDS:
            continue
        is_needed = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        is_target = item.name.startswith(TARGETS)
        hint = hints[item.name]
        kinds = {hint} if typing.get_origin(hint) is list else {hint, *typing.get_args(hint)}
        if (is_needed or is_target) and not kinds & {str, list[str]}:
            raise _not_made_up(cls, item.name)
        if is_needed or is_target:
            given[item.name] = _value(cls, row, is_target, is_list=str not in kinds)
    sample: Sample = cls.sample_type(**given, **_answer(cls, row))
    return sample


def _answer(cls: type[Any], row: int) -> dict[str, int]:
    """Return where the answer to a question stands: at the second or third word of its context."""
    if not issubclass(cls.sample_type, AnswerSample):
        return {}
    word = TEXTS[row].split()[1 + row % 2]
    start = TEXTS[row].index(f" {word}") + 1
    return {"answer_start": start, "answer_end": start + len(word)}


def _value(cls: type[Any], row: int, is_target: bool, *, is_list: bool) -> Any:
    words = TEXTS[row].split()
    label = LABELS[row % len(LABELS)]
    if is_target and cls.contract.family != "generation":
        return [LABELS[len(word) % len(LABELS)] for word in words] if is_list else label
    return words if is_list else TEXTS[row]


def _not_made_up(cls: type[Any], name: str) -> Unknown:
    return Unknown(
        f"rows of a {cls.sample_type.__name__} cannot be made up",
        because=f"its field {name} is neither a text nor a list of words",
        fix="check the model in its project, or in a test: check_model(lambda: build(config, context, backbone), data)",
        where=where(cls, "forward"),
        code="usage.rows",
    )

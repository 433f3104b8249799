"""Predictions of a project's rows, together and one at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaffold.check import needs
from scaffold.check.probe_place import Place
from scaffold.check.probe_predict import predicted

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

Problem = tuple[str, Place]
CLOSE = 1e-3
PLAIN = (str, int, float, bool, type(None))


def problems(probe: Probe) -> Iterator[Problem]:
    """Yield what is wrong with the predictions of five rows."""
    place, ran = probe.places.method("batch_predict"), probe.predicted
    if ran.crash is not None:
        yield str(ran.crash), probe.places.crash(ran.crash)
        return
    alone = [predicted(probe, [sample], "predicting one row") for sample, _ in ran.output]
    failed = next((one for one in alone if one.crash is not None), None)
    if failed is not None and failed.crash is not None:
        yield str(failed.crash), probe.places.crash(failed.crash)
        return
    together, each = [one for _, one in ran.output], [one.output[0][1] for one in alone]
    yield from ((problem, place) for problem in _wrong_values(probe, [_value(one) for one in together]))
    moved = [row for row, (one, other) in enumerate(zip(together, each, strict=True)) if not _same(one, other)]
    if moved and not _depends_on_company(probe):
        row = moved[0]
        yield f"row {row + 1} gets {_value(together[row])!r} among others and {_value(each[row])!r} alone", place


def _depends_on_company(probe: Probe) -> bool:
    """Return whether the outputs themselves change with the other rows or their padding, as other rules say."""
    if needs.steady(probe) is not None:
        return True
    effects = probe.effects
    return bool(effects.mixing(False) or effects.order() or (needs.text(probe) is None and effects.padding()))


def _value(prediction: Any) -> Any:
    return getattr(prediction, "value", prediction)


def _wrong_values(probe: Probe, values: Sequence[Any]) -> Iterator[str]:
    strange = [value for value in values if not _is_plain(value)]
    if strange:
        yield f"a prediction is a {type(strange[0]).__name__}, which cannot be written to a file"
        return
    known = _labels(probe)
    unknown = [name for value in values for name in _names(value) if name not in known]
    if known and unknown:
        yield f"a prediction is {unknown[0]!r}, which is no label"


def _labels(probe: Probe) -> set[str]:
    """Return the names of the labels, where predictions are of labels that have names."""
    vocabulary = probe.given.data.context.vocabulary
    scores_labels = any("labels" in dimensions for dimensions in probe.contract.outputs.values())
    return set(vocabulary.elements("labels")) if scores_labels and "labels" in vocabulary.fields else set()


def _names(value: Any) -> list[Any]:
    return [name for item in value for name in _names(item)] if isinstance(value, list | tuple) else [value]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list | tuple) else isinstance(value, PLAIN)


def _same(one: Any, other: Any) -> bool:
    if hasattr(one, "value") and hasattr(other, "value"):
        return _same(one.value, other.value) and _same(getattr(one, "score", None), getattr(other, "score", None))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= CLOSE * max(1.0, abs(one)) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)

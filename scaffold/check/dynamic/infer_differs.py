"""Predictions that do not come from what is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import PROJECT_MODEL, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

FORWARD = """\
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.classify(self.head(self.pool(hidden, attention_mask)), labels)
"""
MIXED = """\
        return self.classify(self.mix(self.scores(input_ids, attention_mask)), labels)

    def scores(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.head(self.pool(hidden, attention_mask))
"""
START = "Begin with the token that forward begins with, go on with the one just written, and mind the same masks."


def find(probe: Probe) -> Iterator[Finding]:
    """Yield each part that predictions are made without, and else a text that is not written as it was learnt."""
    from scaffold.check.probe_used import left_out
    from scaffold.check.probe_written import begins_otherwise

    writes = probe.contract.family == "generation"
    parts = left_out(probe)
    for part in parts or ():
        message = f"predictions are made without {part}, which the scores of forward depend on"
        yield RULE.finding(message, measured=part, **probe.places.layer(part))
    if parts == [] and writes and needs.gradient(probe) is None and begins_otherwise(probe):
        message = "a few rows were learnt by heart, and infer begins none of their texts as forward scores them"
        yield RULE.finding(message, fix=START, **probe.places.method("infer"))


def _applies(probe: Probe) -> str | None:
    if probe.given.data is None:
        return Inapplicable("a model without data has no rows to predict")
    if reason := needs.every(needs.shapes, needs.finite)(probe):
        return reason
    if not _predicts_by_itself(probe):
        return Inapplicable("its predictions are what forward scores")
    return "predicting fails: see predictions" if probe.predicted.crash else None


def _predicts_by_itself(probe: Probe) -> bool:
    """Return whether the model has an `infer` or a `batch_predict` of its own."""
    from scaffold.runtime.module import BaseModule

    cls = type(probe.model)
    return any(getattr(cls, name, None) is not getattr(BaseModule, name) for name in ("infer", "batch_predict"))


RULE = Rule(
    id="infer-differs",
    severity="error",
    title="Predictions do not come from what forward scores.",
    why=(
        "The loss is that of forward: it falls, and what infer or batch_predict gives comes from other layers, or "
        "another beginning, than were trained."
    ),
    fix=(
        "Let infer and batch_predict go through the same layers as forward. `generate` knows those of the backbone "
        "alone: give it a head of your own by self.seq2seq.set_output_embeddings."
    ),
    example=changed(
        PROJECT_MODEL,
        ("self.head = nn", "self.mix = nn.Linear(num_labels, num_labels)\n        self.head = nn"),
        (FORWARD, MIXED),
        ("self(**batch).logits", "self.scores(**batch)"),
    ),
    instead=PROJECT_MODEL,
    find=find,
    applies=_applies,
    task=None,
)

"""Models that fail with 16-bit floats."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding | NotChecked]:
    """Yield what fails, or is not finite, under autocast."""
    from scaffold.check import probe_state

    ran = probe_state.in_bf16(probe)
    if ran.crash is None:
        if not math.isfinite(ran.output):
            yield RULE.finding("the loss is not finite", measured=ran.output, **probe.places.method("forward"))
    elif "not implemented for" in str(ran.crash.error):
        yield RULE.not_checked(f"a CPU cannot do it: {ran.crash}")
    else:
        yield RULE.finding(str(ran.crash), **probe.places.crash(ran.crash))


RULE = Rule(
    id="bf16",
    severity="error",
    title="The model fails in mixed precision.",
    why=(
        "trainer.precision=bf16-mixed halves memory and time on a GPU; under it some tensors are bfloat16 and "
        "others float32."
    ),
    fix="Make new tensors with the dtype of those they meet, such as x.new_zeros(…); call .float() before numpy().",
    example=changed(
        CLASSIFIER,
        ("from torch import nn", "import torch\nfrom torch import nn"),
        (
            "pooled = (hidden * mask).sum(dim=1) / mask.sum(dim=1)",
            "values = self.head(hidden) * mask\n"
            "        logits = torch.zeros(len(values), values.size(-1))\n"
            "        rows = torch.arange(len(values))",
        ),
        ("logits = self.head(pooled)", "logits = logits.index_add(0, rows, values.sum(dim=1)) / mask.sum(dim=1)"),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.gradient, needs.finite),
)

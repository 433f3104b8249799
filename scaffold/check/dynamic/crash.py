"""Code that fails when it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield the first crash on the way from the constructor to the end of a training step."""
    from scaffold.check.probing import crash_finding

    crash = probe.crash
    if crash is None and probe.given.large is None:
        crash = probe.late_crash
    if crash is not None:
        yield crash_finding(crash)


RULE = Rule(
    id="crash",
    severity="error",
    title="The code fails when it runs.",
    why="Training ends here, at its first batch or in the middle of the night.",
    fix="Correct the line that is named; the message below it is Python's own.",
    example=changed(CLASSIFIER, ("self.head(pooled)", "self.head(pooled.unsqueeze(1).expand(-1, 2, -1).flatten(1))")),
    instead=CLASSIFIER,
    find=find,
)

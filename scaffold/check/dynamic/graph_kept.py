"""Batches that are kept alive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check import needs
from scaffold.check.dynamic._examples import CLASSIFIER, changed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a second step that meets the first one's graph, and tensors that pile up."""
    from scaffold.check import probe_state

    if (crash := probe_state.kept_graph_crash(probe)) is not None:
        yield RULE.finding(str(crash), **probe.places.method("forward"))
        return
    kept = probe_state.kept_nodes(probe)
    if kept > 0:
        message = f"each call leaves {kept} more operations of its graph behind"
        yield RULE.finding(message, measured=kept, **probe.places.method("forward"))


RULE = Rule(
    id="graph-kept",
    severity="error",
    title="Tensors of earlier batches are kept with their graphs.",
    why="Memory grows with every batch until none is left, or the second backward pass fails.",
    fix="Keep loss.item() or loss.detach(), and clear lists at the end of an epoch.",
    example=changed(
        CLASSIFIER,
        ("self.head = nn", "self.history = []\n        self.head = nn"),
        ("        return {", "        self.history.append(loss)\n        return {"),
    ),
    instead=CLASSIFIER,
    find=find,
    applies=needs.every(needs.loss, needs.trainable),
)

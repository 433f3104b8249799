"""What goes wrong with a few rows that goes well with the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from scaffold.check.probe_batches import without_targets
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_crash import Crash
from scaffold.check.probe_rows import ROWS
from scaffold.runtime.contracts import shape_violations, violations

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

STEPS = ("validation_step", "test_step")


def problem_with(probe: Probe, count: int) -> Crash | str | None:
    """Return what goes wrong with so many rows; nothing where all is well."""
    output = None
    for ran in _runs(probe, count):
        if ran.crash is not None:
            return ran.crash
        output = ran.output if ran.output is not None else output
    sizes = probe.sizes(probe.rows.batch(range(count)))
    problems = shape_violations(probe.contract, output, sizes)
    if not problems and probe.has_loss:
        with torch.no_grad():  # in evaluation there is no gradient to ask for
            problems = violations(probe.contract, output, sizes, finite=bool(torch.isfinite(probe.loss)))
    return problems[0] if problems else None


def _runs(probe: Probe, count: int) -> Iterator[Ran]:
    """Yield runs without and with targets, as in training where the family allows it, and of the module's own steps."""
    batch = dict(probe.rows.batch(range(count)))
    if probe.is_lightning and probe.fitted.crash is None:
        yield from (_step(probe, name, count) for name in STEPS)
    if probe.has_loss and not probe.contract.batch_norm:
        yield Ran(crash=probe.call(batch, model=probe.fresh(), training=True).crash)
    yield probe.call(without_targets(batch, probe.contract), model=probe.fresh())
    if probe.labelled.crash is None:
        yield probe.call(batch, model=probe.fresh())


def _step(probe: Probe, name: str, count: int) -> Ran:
    """Run a step of a Lightning module by itself, without the Trainer, if it runs so on all rows."""

    def run(rows: int) -> Ran:
        model, batch = probe.fresh(), probe.rows.batch(range(rows))
        return attempt(name, lambda: getattr(model, name)(batch, 0))

    crash = run(count).crash
    return Ran(crash=crash if crash is not None and run(ROWS).crash is None else None)

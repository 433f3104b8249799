"""Whether a model that was loaded inside another reads the ids of its own tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scaffold.check.probe_watch import Watch
from scaffold.runtime.encoders.misfit import Misfit, misfit

if TYPE_CHECKING:
    from scaffold.check.probe import Probe


def misfit_of(probe: Probe) -> Misfit | None:
    """Return a table that is not for the tokenizer, where it is the tokenizer's ids that are looked up in it."""
    recipe = getattr(probe.model, "recipe", None)
    found = misfit(probe.model, recipe.context.processor, recipe.backbone) if recipe else None
    ids = probe.batch.get(probe.contract.inputs[0])
    if found is None or ids is None or ids.max() >= found.pieces:  # an `encode` may have a tokenizer of its own
        return None
    if probe.given.large is not None:  # on fake tensors nothing can be compared
        return found
    with Watch({"ids": ids}) as watch:
        probe.call(probe.unlabelled)
    return found if watch.sizes.get("ids") == found.rows else None

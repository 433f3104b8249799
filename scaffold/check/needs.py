"""Why a rule cannot be checked on a model: what it builds on is not there, and another rule says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scaffold.check.finding import AfterCrash, Inapplicable

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

Need = Callable[["Probe"], "str | None"]


def every(*needs: Need) -> Need:
    """Return the first reason that any of some needs gives."""

    def first(probe: Probe) -> str | None:
        return next((reason for need in needs if (reason := need(probe))), None)

    return first


def output(probe: Probe) -> str | None:
    """Ask for a model that runs."""
    if probe.plain.crash is not None and probe.labelled.crash is not None:
        return AfterCrash("the model does not run: see crash")
    return None


def running(probe: Probe) -> str | None:
    """Ask for a model that runs with and without labels."""
    return AfterCrash(f"the whole batch fails: see crash ({probe.crash})") if probe.crash else None


def weights(probe: Probe) -> str | None:
    """Ask for weights that are there, not shapes alone."""
    if probe.given.large is None:
        return None
    return f"the model has {probe.given.large:,} parameters: only its shapes are checked"


def shapes(probe: Probe) -> str | None:
    """Ask for outputs of the right shape."""
    reason = every(weights, output)(probe)
    return reason or ("the output is not what the task asks for: see output-shape" if probe.shape_problems else None)


def plain(probe: Probe) -> str | None:
    """Ask for outputs of the right shape without labels."""
    reason = shapes(probe)
    return reason or (AfterCrash("the model does not run without labels: see crash") if probe.plain.crash else None)


def loss(probe: Probe) -> str | None:
    """Ask for a loss."""
    if reason := every(weights, output)(probe):
        return reason
    if probe.labelled.crash is not None:
        return AfterCrash("the model does not run with labels: see crash")
    if probe.unreadable:
        return shapes(probe)
    return "there is no scalar loss: see output-shape" if probe.loss_problems else None


def gradient(probe: Probe) -> str | None:
    """Ask for a loss that leads to gradients."""
    if reason := every(loss, trainable)(probe):
        return reason
    if not probe.loss.requires_grad:
        return "the loss has no gradient: see loss-detached"
    if (crash := probe.trained.crash) is None:
        return None
    rule = "in-place" if crash.is_in_place else "graph-kept" if crash.is_graph_kept else "crash"
    return AfterCrash("backward fails: see crash") if rule == "crash" else f"backward fails: see {rule}"


def trainable(probe: Probe) -> str | None:
    """Ask for a model of which something can be trained."""
    some = any(parameter.requires_grad for parameter in probe.model.parameters())
    return None if some else "nothing can be trained: see frozen-model"


def steady(probe: Probe) -> str | None:
    """Ask for outputs of the right shape that are the same when the rows are."""
    if reason := plain(probe):
        return reason
    if probe.repeats.steady:
        return None
    rule = "state-kept" if probe.repeats.by_state else "eval-random"
    return f"equal batches give different outputs: see {rule}"


def finite(probe: Probe) -> str | None:
    """Ask for a loss that is a number."""
    import math

    return loss(probe) or (None if math.isfinite(float(probe.loss)) else "the loss is not finite: see loss-finite")


def lightning(probe: Probe) -> str | None:
    """Ask for a Lightning module whose training runs."""
    if reason := every(weights, output)(probe):
        return reason
    if not probe.is_lightning:
        return Inapplicable("the model is no Lightning module: it has no steps of its own")
    if reason := every(shapes, loss)(probe):
        return reason
    return AfterCrash("training fails: see crash") if probe.fitted.crash is not None else None


def independent(probe: Probe) -> str | None:
    """Ask for a family whose rows have nothing to do with each other."""
    if probe.contract.rows_independent:
        return None
    return Inapplicable(f"rows of a {probe.contract.family} batch belong together")


def text(probe: Probe) -> str | None:
    """Ask for inputs that have a length."""
    has_length = any("length" in probe.contract.shapes.get(key, ()) for key in probe.contract.inputs)
    return None if has_length else Inapplicable(f"a batch of {probe.contract.family} has no padding")

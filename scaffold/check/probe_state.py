"""What a call leaves behind: changed weights, a changed batch, memory of earlier batches, another random state."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from scaffold.check.probe_adapt import forward_of
from scaffold.check.probe_batches import without_targets
from scaffold.check.probe_call import Ran, attempt, call, copied, seeded
from scaffold.check.probe_compare import difference, is_same, scores_of
from scaffold.check.probe_crash import Crash
from scaffold.check.probe_graph import nodes
from scaffold.runtime.contracts import entry

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

CALLS = 3


def state_in_training(probe: Probe) -> float:
    """Return how much an output in training mode changes after another batch, unless buffers say that it should."""
    if probe.effects.is_unsteady(training=True):
        return 0.0
    model = probe.fresh()
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    visits = [probe.unlabelled, without_targets(probe.round(1), probe.contract), probe.unlabelled]
    scores = [scores_of(probe.contract, call(model, batch, training=True).get(), batch) for batch in visits]
    if any(not torch.equal(value, buffers.get(name, value)) for name, value in model.named_buffers()):
        return 0.0
    return difference(scores[0], scores[2])


def changed_inputs(probe: Probe) -> list[str]:
    """Return the tensors of a batch that forward writes into."""
    batch = copied(probe.batch)
    attempt("forward", lambda: forward_of(probe.fresh())(**batch))
    tensors = {key: value for key, value in probe.batch.items() if isinstance(value, Tensor)}
    return [key for key, value in tensors.items() if not is_same(value, batch[key])]


def changed_weights(probe: Probe) -> list[str]:
    """Return the parameters that change before backward, in a step of the Trainer or in forward alone."""
    if probe.is_lightning and probe.fitted.output.changed_early:
        return list(probe.fitted.output.changed_early)
    model = probe.fresh()
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    before = {name: parameter.detach().clone() for name, parameter in trained}
    if probe.is_lightning:
        attempt("training_step", lambda: model.training_step(probe.lightning_batch(0), 0))  # type: ignore[operator]
    else:
        call(model, probe.batch, training=True, grad=True)
    return [
        name for name, parameter in model.named_parameters() if name in before and not is_same(parameter, before[name])
    ]


def changed_globals(probe: Probe) -> list[str]:
    """Return the switches of PyTorch, and of the model, that forward leaves in another position in evaluation."""

    def run() -> list[str]:
        model = probe.fresh().eval()
        torch.set_grad_enabled(True)
        before = _switches(model)
        forward_of(model)(**copied(probe.unlabelled))
        return [name for name, value in _switches(model).items() if value != before[name]]

    return attempt("forward", run).get()  # type: ignore[no-any-return]


def _switches(model: nn.Module) -> dict[str, Any]:
    return {
        "gradients": torch.is_grad_enabled(),
        "the default dtype": torch.get_default_dtype(),
        "which weights are trained": [parameter.requires_grad for parameter in model.parameters()],
        "which parts are in training mode": [part.training for part in model.modules()],
    }


def kept_graph_crash(probe: Probe) -> Crash | None:
    """Return the crash of a backward pass that met the graph of an earlier batch."""
    ran = probe.trained if probe.trained.crash is not None else probe.second_step
    return ran.crash if ran.crash is not None and ran.crash.is_graph_kept else None


def kept_nodes(probe: Probe) -> int:
    """Return by how many nodes the graphs grow that each call in training leaves behind, without its output."""
    model, counts = probe.fresh(), []
    with _only_new():
        for number in range(CALLS):
            _train(model, probe, number)
            counts.append(_count())
    grown = [after - before for before, after in pairwise(counts)]
    return min(grown) if min(grown) > 0 else 0


@contextmanager
def _only_new() -> Iterator[None]:
    """Have the collector look at what is made from now on; all else takes it a tenth of a second each time."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _train(model: nn.Module, probe: Probe, number: int) -> None:
    ran = call(model, probe.round(number % 2), training=True, grad=True)
    loss = entry(ran.output, "loss") if ran.crash is None else None
    if isinstance(loss, Tensor) and loss.requires_grad:
        with suppress(RuntimeError):  # of a graph that is kept: that is what is counted
            loss.backward()


def _count() -> int:
    gc.collect()
    kept = [one for one in gc.get_objects() if type(one) is Tensor and one.grad_fn is not None]
    return len(nodes(kept))


def seed_problems(probe: Probe) -> Iterator[tuple[str, Any, str]]:
    """Yield what a seed does not repeat, what was measured, and the method where it happens."""
    one, other = probe.make().state_dict(), probe.make().state_dict()
    differing = [name for name, value in one.items() if name in other and not _equal(value, other[name])]
    if differing:
        yield f"with the same seed {differing[0]} starts with other values", differing, "__init__"
        return
    losses = [_training_output(probe) for _ in range(2)]
    gap = difference(*losses) if all(losses) else 0.0
    if gap > 0:
        yield f"in training, with the same seed, two outputs differ by {gap:.2g} of their size", gap, "forward"
    for method, work in (
        ("__init__", probe.given.make),
        ("forward", lambda: forward_of(probe.fresh())(**copied(probe.batch))),
    ):
        if _sets_seed(work):
            yield f"{method} sets the global seed", None, method


def _training_output(probe: Probe) -> dict[str, Tensor]:
    ran = call(probe.fresh(), probe.unlabelled, training=True)
    return scores_of(probe.contract, ran.output, probe.unlabelled) if ran.crash is None else {}


def _sets_seed(work: Any) -> bool:
    """Return whether what is drawn after some work does not depend on the seed before it."""
    drawn = []
    for seed in (1, 2):
        with seeded(seed), suppress(Exception):
            work()
            drawn.append(torch.rand(()).item())
    return len(drawn) == 2 and drawn[0] == drawn[1]


def _equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else True


def in_bf16(probe: Probe) -> Ran:
    """Return the loss of forward and backward under autocast to bfloat16."""
    model = probe.fresh()

    def run() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = entry(forward_of(model)(**copied(probe.batch)), "loss")
        loss.backward()
        return float(loss)

    return attempt("a step in bf16", run)

"""A model's way through a file and back: whatever was trained must be there again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from scaffold.check.probe_adapt import adapted
from scaffold.check.probe_call import SEED, Ran, attempt, call
from scaffold.check.probe_compare import difference, scores_of
from scaffold.check.probe_effects import COARSE
from scaffold.check.probe_stir import stir

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

OTHER_SEED = SEED + 1000


def problems(probe: Probe) -> Iterator[tuple[str, Any]]:
    """Yield what is lost on each way that the model knows, and what was measured."""
    model = stir(probe.fresh())
    before = _scores(probe, model)
    for name, way in _ways(probe):
        ran = attempt(name, lambda way=way: way(model), OTHER_SEED)  # type: ignore[misc]
        if ran.crash is not None:
            yield str(ran.crash), None
            return
        gap = difference(before, _scores(probe, ran.output))
        if gap > COARSE:
            yield f"after {name} the outputs differ by {gap:.2g} of their size", gap
            return


def _ways(probe: Probe) -> Iterator[tuple[str, Any]]:
    yield "load_state_dict", lambda model: _by_state_dict(probe, model)
    if probe.given.data is not None:
        yield "save and load_model", _by_checkpoint
    if isinstance(probe.model, PreTrainedModel):
        yield "save_pretrained and from_pretrained", _by_pretrained


def _by_state_dict(probe: Probe, model: nn.Module) -> nn.Module:
    other = attempt("__init__", probe.given.make, OTHER_SEED).get()
    other.load_state_dict(model.state_dict())
    return other


def _by_checkpoint(model: Any) -> Any:
    from scaffold.runtime.recipe import restore
    from scaffold.runtime.training import checkpoints

    checkpoint: dict[str, Any] = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checked.ckpt"
        checkpoints.save(checkpoint, path)
        other: Any = restore(checkpoints.load(path), path, [type(model).__module__.partition(".")[0]])
    if other.context.vocabulary.as_dict() != model.context.vocabulary.as_dict():
        raise ValueError("the vocabulary of the loaded model is another one")
    return other


def _by_pretrained(model: PreTrainedModel) -> PreTrainedModel:
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded: PreTrainedModel = type(model).from_pretrained(folder)
    return loaded


def _scores(probe: Probe, model: nn.Module) -> Mapping[str, Tensor]:
    ran: Ran = call(adapted(model, probe.given.adapter), probe.unlabelled)
    return scores_of(probe.contract, ran.get(), probe.unlabelled)

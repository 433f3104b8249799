"""What a training loop without Lightning leaves in the run folder as it goes: its curve and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaffold.errors import RefusedError, Where
from scaffold.runtime.module import BaseModule
from scaffold.runtime.recipe import load_weights
from scaffold.runtime.training import checkpoints
from scaffold.runtime.training.callbacks import all_finite, diverged
from scaffold.runtime.training.loggers import CurveLogger
from scaffold.runtime.training.monitor import Selection
from scaffold.runtime.training.position import Position
from scaffold.runtime.training.run import Run


class LoopFiles:
    """metrics.csv, best.ckpt and last.ckpt, from which the same training goes on."""

    def __init__(self, run: Run, module: BaseModule, position: Position, selection: Selection) -> None:
        self.run, self.module, self.position, self.selection = run, module, position, selection
        self.curve = CurveLogger(run.folder / "metrics.csv")
        self._parts: dict[str, Any] = {}

    def resume(self, parts: dict[str, Any]) -> None:
        """Keep the state of these parts, too, and go on where an earlier process stopped."""
        self._parts = parts
        row = {}
        if self.run.resume_from is not None:
            row = self._restore(self._whole(checkpoints.load(self.run.resume_from)))
        self.curve.resume(row)

    def save_best(self) -> None:
        """Save the weights as the best ones."""
        checkpoints.save(self._state(), self.run.best)

    def save_last(self) -> None:
        """Save all that training needs to go on from here."""
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        checkpoints.save({**self._state(), "parts": parts, "seconds": self.run.clock.seconds}, self.run.last)
        self.run.point_latest()

    def load_best(self) -> None:
        """Give the module its best weights."""
        load_weights(self.module, checkpoints.load(self.run.trained())["state_dict"], self.run.best)

    def _state(self) -> dict[str, Any]:
        position, selection = self.position, self.selection
        if not all_finite(self.module):
            what = f"the weights are not finite after step {position.step}"
            raise diverged(self.run, what, "the loss before was")
        state: dict[str, Any] = {
            "state_dict": self.module.state_dict(),
            "epoch": position.epoch,
            "global_step": position.step,
            "progress": {"done": position.done, **selection.state()},
            "curve": dict(self.curve.row),
        }
        self.module.on_save_checkpoint(state)
        return state

    def _whole(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        if "parts" in state:
            return state
        raise RefusedError(
            f"the run in {self.run.folder} cannot go on",
            because="there is no last.ckpt, and best.ckpt holds weights only, no state of the optimizer",
            fix="start again; make evaluate and make predict work with best.ckpt",
            where=Where(file=str(self.run.last)),
            code="refused.nothing-to-resume",
        )

    def _restore(self, state: Mapping[str, Any]) -> dict[str, Any]:
        load_weights(self.module, state["state_dict"], self.run.last)
        self.module.on_load_checkpoint(dict(state))
        position, selection, progress = self.position, self.selection, state["progress"]
        position.go_on(state["epoch"], state["global_step"], progress["done"])
        selection.restore(progress)
        self.run.clock.go_on(state.get("seconds", 0.0))
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        return dict(state["curve"])

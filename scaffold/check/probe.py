"""What the rules that run a model are given: the model, its batches, and what was measured on them, each once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

from torch import Tensor

from scaffold.check.probe_bench import Bench
from scaffold.check.probe_call import Ran, attempt
from scaffold.check.probe_crash import Crash
from scaffold.check.probe_effects import Effect, Effects
from scaffold.check.probe_encode import leaks
from scaffold.check.probe_library import unused_part
from scaffold.check.probe_loss import is_detached, losses_beside_ignored
from scaffold.check.probe_predict import predicted
from scaffold.check.probe_repeats import Repeats, repeats
from scaffold.check.probe_rows import ROWS
from scaffold.check.probe_scores import FURTHER, STRENGTHS, Reach, Stirred, moved, reach, run_stirred
from scaffold.check.probe_stir import stir
from scaffold.check.probe_train import Learning, gradients, learn, learn_well, stuck, without
from scaffold.check.probe_windows import run_long


class Probe(Bench):
    """A model under examination: where it fails, and what further experiments have shown."""

    @property
    def is_made(self) -> bool:
        """Whether the constructor runs."""
        return attempt("__init__", lambda: self.model).crash is None

    @cached_property
    def crash(self) -> Crash | None:
        """The first crash on the way to a gradient, but for those that another rule explains."""
        for ran in self._ladder():
            if ran.crash is not None:
                return ran.crash
        return None

    @cached_property
    def late_crash(self) -> Crash | None:
        """The first crash after that: in the Trainer, or in the second step."""
        if self.is_lightning and (self.shape_problems or self.loss_problems):
            return None  # the steps read the output
        ran = Ran()
        if self.is_lightning:
            ran = self.fitted
        elif self.has_loss and self.loss.requires_grad and self.trained.crash is None:
            ran = self.second_step
        frozen = self.is_lightning and not self.fitted.output.trainable
        explained = frozen or (ran.crash is not None and (ran.crash.is_graph_kept or ran.crash.is_in_place))
        return None if explained else ran.crash or run_long(self).crash

    @property
    def stub(self) -> Crash | None:
        """The first method on the way that is not written yet."""
        crash = self.crash
        if crash is None and self.given.large is None:
            crash = self.late_crash or (self.predicted.crash if self.given.data is not None else None)
        return crash if crash is not None and crash.is_stub else None

    @cached_property
    def predicted(self) -> Ran:
        """The predictions of five rows, where there is data."""
        samples = self.rows.samples(range(ROWS))  # type: ignore[attr-defined]
        return predicted(self, samples, f"predicting {len(samples)} rows")

    @cached_property
    def leaks(self) -> list[str]:
        """The inputs of a project's rows that depend on their label."""
        return leaks(self) if self.given.data is not None else []

    @property
    def in_place_crash(self) -> Crash | None:
        """The crash of a backward pass that met a tensor changed since forward."""
        runs = [self.trained, *([self.fitted] if self.is_lightning else [])]
        return next((ran.crash for ran in runs if ran.crash is not None and ran.crash.is_in_place), None)

    @cached_property
    def loss_is_detached(self) -> bool:
        """Whether no weight can be reached from the loss."""
        return is_detached(self)

    def _ladder(self) -> Iterator[Ran]:
        yield attempt("__init__", lambda: self.model)
        yield self.plain
        if not self.shape_problems:
            yield self.labelled
        if self.given.large is None and self.has_loss and self.loss.requires_grad:
            other_rule = self.trained.crash is not None and (
                self.trained.crash.is_in_place or self.trained.crash.is_graph_kept
            )
            yield Ran() if other_rule else self.trained

    @cached_property
    def repeats(self) -> Repeats:
        """How steady the output is in evaluation mode."""
        return repeats(self)

    @cached_property
    def effects(self) -> Effects:
        """What the output depends on."""
        return Effects(self)

    @cached_property
    def gradients(self) -> dict[str, Tensor | None]:
        """The largest gradient of each trainable parameter over several batches."""
        return gradients(self, self.fresh())

    @cached_property
    def dead(self) -> list[str]:
        """The trainable parameters that never get a gradient, not even in general position."""
        silent = without(self.gradients)
        return [name for name in without(gradients(self, stir(self.fresh()))) if name in silent] if silent else []

    @cached_property
    def stuck(self) -> list[str]:
        """The parameters that get no gradient as long as another is zero, which waits for them in turn."""
        return stuck(self, [name for name in without(self.gradients) if name not in self.dead])

    def unused_part(self, parameter: str) -> str:
        """Return the unused part of a library's model that a dead parameter lies in; empty for the person's layers."""
        return unused_part(self.model, parameter, set(self.dead))

    @cached_property
    def beside_ignored(self) -> tuple[float, float]:
        """The loss of two rows alone, and beside others of which every target is ignored."""
        return losses_beside_ignored(self.effects)

    @property
    def ignores(self) -> bool:
        """Whether targets that are to be ignored count for nothing."""
        without, beside = self.beside_ignored
        return math.isnan(without) or abs(without - beside) <= self.effects.tolerance * max(1.0, abs(without))

    @cached_property
    def seen_by_loss(self) -> tuple[Effect, Effect]:
        """What the loss for a token sees: this token, which it should not, and the one before it."""
        return self.effects.seen_by_loss()

    @cached_property
    def learning(self) -> Learning:
        """How learning a handful of rows by heart goes."""
        return learn(self)

    @cached_property
    def learning_well(self) -> Learning:
        """How it goes on until the model is surer of its rows than scores within narrow bounds can say."""
        return learn_well(self, self.learning.rate)

    @cached_property
    def stirred_runs(self) -> list[Stirred]:
        """What models gave whose weights are stirred ever more."""
        return [run_stirred(self, strength) for strength in STRENGTHS]

    @cached_property
    def reach(self) -> Reach:
        """How far apart the scores come that the loss is given, whatever the weights are."""
        found = reach(self.stirred_runs)
        return found.unless_beyond(reach([run_stirred(self, FURTHER)])) if found.is_short else found

    @cached_property
    def moved(self) -> float:
        """How far one unit of the most effective weight moves a score that the loss is given."""
        return moved(self)

    @cached_property
    def fitted(self) -> Ran:
        """What a few steps of the Trainer showed, as `Watched`."""
        from scaffold.check.probe_fit import fit

        return fit(self)

"""Where a training loop without Lightning is, and what is due there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scaffold.runtime.training.loop_settings import LoopSettings


@dataclass
class Position:
    """How far training has come: in whole epochs, in batches of this one, and in optimizer steps.

    began: the step at which this epoch began.
    """

    settings: LoopSettings
    batches_per_epoch: int
    epoch: int = 0
    done: int = 0
    step: int = 0
    began: int = 0

    @property
    def batches_now(self) -> int:
        """How many batches this epoch has, which is the last one where `max_steps` is reached in it."""
        return min(self.batches_per_epoch, self.settings.batches_after(self.began))

    @property
    def steps(self) -> int:
        """How many optimizer steps the whole training has."""
        return self.settings.steps(self.batches_per_epoch)

    @property
    def is_end(self) -> bool:
        """Whether all epochs, or all steps, are behind."""
        return self.epoch >= self.settings.max_epochs or self.settings.batches_after(self.step) <= 0

    @property
    def is_epoch_done(self) -> bool:
        """Whether all batches of this epoch have been trained on."""
        return self.done == self.batches_now

    @property
    def is_whole(self) -> bool:
        """Whether no gradient is half collected after `done` batches."""
        return self.done % self.settings.accumulate_grad_batches == 0 or self.is_epoch_done

    @property
    def steps_now(self) -> bool:
        """Whether the optimizer steps after the batch that is trained on now."""
        accumulated = (self.done + 1) % self.settings.accumulate_grad_batches == 0
        return accumulated or self.done + 1 == self.batches_now

    def end_epoch(self) -> None:
        """Go on to the first batch of the next epoch."""
        self.epoch, self.done, self.began = self.epoch + 1, 0, self.step

    def go_on(self, epoch: int, step: int, done: int) -> None:
        """Go on where an earlier process was, which saved when no gradient was half collected."""
        self.epoch, self.step, self.done = epoch, step, done
        self.began = step - math.ceil(done / self.settings.accumulate_grad_batches)

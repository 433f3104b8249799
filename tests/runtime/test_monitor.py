"""Which validation is the best, and when there were too many without a better one."""

from __future__ import annotations

import logging
import math

import pytest
from omegaconf import OmegaConf

from scaffold.runtime.training.monitor import Selection, monitored


class Model:
    context = None

    def monitor(self, context):
        return "val/f1", "max"


def counted(*validations, patience=None, mode="max"):
    selection = Selection("val/f1", mode, patience)
    for epoch, (score, loss) in enumerate(validations, start=1):
        selection.count({"val/f1": score, "val/loss": loss}, epoch)
    return selection


def test_the_best_validation_is_kept_with_its_epoch():
    selection = counted((0.1, 1.0), (0.3, 0.9), (0.2, 0.8))
    assert selection.figures == {"val/f1": 0.3, "best/epoch": 2}
    assert (selection.is_latest, selection.waited) == (False, 1)


def test_of_equal_ones_that_with_the_smaller_loss_is_better():
    selection = counted((0.0, 1.0), (0.0, 0.5), (0.0, 0.7))
    assert (selection.epoch, selection.waited) == (2, 1)


def test_patience_does_not_end_while_the_loss_falls_and_the_metric_stays():
    assert not counted((0.0, 1.0), (0.0, 0.9), (0.0, 0.8), patience=2).is_over
    assert counted((0.0, 1.0), (0.0, 1.0), (0.0, 1.0), patience=2).is_over


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_value_that_is_no_finite_number_is_never_the_best(wrong):
    assert counted((wrong, 1.0)).figures == {}
    assert counted((0.1, 1.0), (wrong, 0.5)).epoch == 1


def test_a_metric_may_be_logged_under_the_name_of_lightning_and_without_a_loss():
    selection = Selection("val/f1", "max")
    assert selection.count({"val_f1": 0.5}, 1)
    assert not selection.count({"val_f1": 0.5}, 2)
    assert selection.figures == {"val_f1": 0.5, "best/epoch": 1}


def test_a_selection_goes_on_from_its_state():
    selection, later = counted((0.1, 1.0), (0.3, 0.9), (0.2, 0.8)), Selection("val/f1", "max", patience=2)
    later.restore(selection.state())
    assert not later.count({"val/f1": 0.3, "val/loss": 1.0}, 4)
    assert later.is_over


def test_a_direction_against_that_of_the_task_is_told(caplog):
    config = OmegaConf.create({"monitor": None, "mode": "min"})
    with caplog.at_level(logging.WARNING):
        assert monitored(config, Model()) == ("val/f1", "min")
    assert "mode=min keeps the checkpoint with the worst val/f1: of it, max is better" in caplog.text

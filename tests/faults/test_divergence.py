"""A loss or weights that are no longer finite numbers end a run at once; what was good is kept."""

from __future__ import annotations

import re

import pytest
import torch

BATCHES = 7  # of an epoch of the sample data
FORWARD = "        return self.classify(self.head(self.pool(hidden, attention_mask)), labels)\n"
SPOILT_GRADIENT = "output.loss = output.loss + (self.head[1].bias.sum() * 0).sqrt()"  # of sqrt at 0


def spoil(project, code: str) -> None:
    """Let the model's forward do something with its `output`, at a `step` of training, else -1."""
    project.edit(
        "mymodel/model.py",
        FORWARD,
        f"        output = {FORWARD.strip().removeprefix('return ')}\n"
        "        step = self.trainer.global_step if self._trainer and self.training else -1\n"
        f"        {code}\n"
        "        return output\n",
    )


def checkpoints_of(project):
    from scaffold.runtime.training import checkpoints

    return {file.stem: checkpoints.load(file) for file in project.run().glob("checkpoints/*.ckpt")}


def are_finite(checkpoint) -> bool:
    return all(bool(torch.isfinite(weight).all()) for weight in checkpoint["state_dict"].values())


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_its_rows(project, value):
    spoil(project, f"output.loss = output.loss * float('{value}') if step == 9 else output.loss")
    ended = project.train()
    assert ended.code == 8
    assert "error: the loss is not finite at step 9 (epoch 2)\n" in ended.err
    rows = re.search(r"  because: it came from the rows (data/train\.tsv:\d+, .*)\n", ended.err)
    assert rows
    assert "Traceback" not in ended.err
    assert not project.finished()


def test_the_row_that_is_named_is_the_one(project):
    with (project.folder / "data" / "train.tsv").open("a", encoding="utf-8") as rows:
        rows.write("the odd one out\tmusic\n")
    project.edit("mymodel/model.py", "attention_mask: Tensor, labels", "attention_mask: Tensor, samples, labels")
    spoil(project, "output.loss = output.loss / ('odd' not in samples[0].sequence)")
    ended = project.train("data.batch_size=1")
    assert ended.code == 8
    assert "  because: it came from the rows data/train.tsv:221\n" in ended.err


def test_the_last_good_state_is_kept(project):
    spoil(project, "output.loss = output.loss * float('nan') if step == 9 else output.loss")
    assert project.train().code == 8
    kept = checkpoints_of(project)
    assert {name: state["global_step"] for name, state in kept.items()} == {"best": BATCHES, "last": BATCHES}
    assert all(map(are_finite, kept.values()))


def test_a_gradient_that_is_not_finite_is_found_one_step_later_and_its_rows_named(project):
    spoil(project, f"{SPOILT_GRADIENT} if step == 9 else output.loss")
    ended = project.train()
    assert ended.code == 8
    assert "error: the loss is not finite at step 10 (epoch 2)\n" in ended.err
    assert "the step before left weights that are not; its gradient came from the rows data/train.tsv:" in ended.err
    assert all(map(are_finite, checkpoints_of(project).values()))


def test_weights_spoilt_by_the_last_step_of_an_epoch_are_not_saved(project):
    spoil(project, f"{SPOILT_GRADIENT} if step == {2 * BATCHES - 1} else output.loss")
    ended = project.train()
    assert ended.code == 8
    assert f"error: the weights are not finite after step {2 * BATCHES}\n" in ended.err
    assert {state["global_step"] for state in checkpoints_of(project).values()} == {BATCHES}


def log_odd(project, value: str) -> None:
    """Let the model log a metric of its own at the end of each validation."""
    project.edit(
        "mymodel/model.py",
        FORWARD,
        f"{FORWARD}\n"
        "    def on_validation_epoch_end(self) -> None:\n"
        "        super().on_validation_epoch_end()\n"
        f"        self.log('val/odd', {value})\n",
    )


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_metric_that_is_not_finite_never_becomes_the_best(project, value):
    log_odd(project, f"1.0 if self.trainer.current_epoch else float('{value}')")
    ended = project.train("monitor=val/odd", "mode=max")
    assert ended.code == 0
    assert checkpoints_of(project)["best"]["global_step"] == 2 * BATCHES
    assert project.metrics()["val/odd"] == 1


def test_training_says_so_when_the_metric_was_never_finite(project):
    log_odd(project, "float('nan')")
    ended = project.train("monitor=val/odd", "mode=max", "patience=1", "trainer.max_epochs=4")
    assert ended.code == 8
    assert "error: val/odd was never a finite number" in ended.err
    assert list(checkpoints_of(project)) == ["last"]


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_validation_that_is_not_finite_stops_the_run_before_it_is_saved(project, value):
    spoil(project, f"output.loss = output.loss * (float('{value}') if step < 0 and self.trainer.current_epoch else 1)")
    ended = project.train("monitor=val/f1", "mode=max", "trainer.max_epochs=4")
    assert ended.code == 8
    assert f"error: val/loss is {value} after step {2 * BATCHES} (epoch 2)\n" in ended.err
    assert "lower optim.optimizer.lr, or look at these rows; runs/one/checkpoints/last.ckpt is still good" in ended.err
    assert {state["global_step"] for state in checkpoints_of(project).values()} == {BATCHES}
    assert not project.finished()


def test_without_a_checkpoint_nothing_is_promised(project):
    spoil(project, "output.loss = output.loss * (1 if step >= 0 else float('nan'))")
    ended = project.train()
    assert ended.code == 8
    assert f"error: val/loss is nan after step {BATCHES} (epoch 1)\n" in ended.err
    assert "no checkpoint was saved yet" in ended.err
    assert checkpoints_of(project) == {}


def test_a_first_loss_that_is_not_finite_is_blamed_on_forward_not_on_the_rate(project):
    spoil(project, "output.loss = output.loss * float('nan')")
    ended = project.train()
    assert ended.code == 8
    assert "error: the loss is not finite at step 0 (epoch 1)\n" in ended.err
    assert "fix: look at these rows and at forward (make check tries it); no checkpoint was saved yet\n" in ended.err


def test_a_rate_that_is_too_high_diverges_or_stays_finite(project):
    ended = project.train("optim.optimizer.lr=1e30", "trainer.gradient_clip_val=null")
    assert ended.code == 8
    assert "fix: lower optim.optimizer.lr" in ended.err


def test_weights_of_a_rate_that_is_too_high_never_become_the_best(project):
    ended = project.train("optim.optimizer.lr=1e30", "monitor=val/f1", "mode=max")
    assert ended.code == 8
    assert checkpoints_of(project) == {}

"""A run that was cut goes on as if it had not been: same weights, same curve, same best checkpoint."""

from __future__ import annotations

import json
import random
import shutil

import pytest
import torch

BATCHES = 7  # of an epoch of the sample data
CUTS = random.Random(5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the folder of an uninterrupted run with some settings, trained once for all cuts."""
    known = {}

    def find(project, *settings):
        if settings not in known:
            known[settings] = tmp_path_factory.mktemp("whole") / "run"
            assert project.train(*settings, run=str(known[settings])).code == 0
        return known[settings]

    return find


def content(folder):
    """Return all that a run found, without what depends on the clock."""
    from scaffold.runtime.training import checkpoints

    found = {name: checkpoints.load(folder / "checkpoints" / f"{name}.ckpt") for name in ("best", "last")}
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    del metrics["train/seconds"], found["last"]["callbacks"]["Checkpoints"]["seconds"]
    return found | {"curve": (folder / "metrics.csv").read_text(encoding="utf-8"), "metrics": metrics}


def differences(one, other, path=""):
    """Return the paths at which two trees of plain data and tensors differ, in any bit."""
    if isinstance(one, (list, tuple)) and len(one) == len(other):
        one, other = dict(enumerate(one)), dict(enumerate(other))
    if isinstance(one, dict) and one.keys() == other.keys():
        return [found for key in one for found in differences(one[key], other[key], f"{path}.{key}")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [path]


@pytest.mark.parametrize("accumulate", [1, 4])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cut", [CUTS.randrange(2 * BATCHES) for _ in range(2)])
def test_a_run_stopped_by_sigterm_goes_on_bit_equal(project, whole, workers, accumulate, cut):
    settings = (f"data.num_workers={workers}", f"trainer.accumulate_grad_batches={accumulate}")
    stopped = project.train(*settings, project.trouble("SIGTERM", cut))
    assert (stopped.code, project.finished()) == (143, False)
    assert project.resume().code == 0
    assert differences(content(whole(project, *settings)), content(project.run())) == []


@pytest.mark.parametrize("cut", [0, BATCHES - 1, BATCHES, 2 * BATCHES - 1])
def test_a_run_stopped_at_the_edge_of_an_epoch_goes_on_bit_equal(project, whole, cut):
    assert project.train(project.trouble("SIGTERM", cut)).code == 143
    assert project.resume().code == 0
    assert differences(content(whole(project)), content(project.run())) == []


def test_a_run_that_validates_within_epochs_goes_on_bit_equal(project, whole):
    settings = ("+trainer.val_check_interval=3",)
    assert project.train(*settings, project.trouble("SIGTERM", 2)).code == 143
    assert project.resume(project.trouble("SIGTERM", 8)).code == 143
    assert project.resume().code == 0
    assert differences(content(whole(project, *settings)), content(project.run())) == []


def test_a_killed_run_goes_on_from_its_last_validation_bit_equal(project, whole):
    assert project.forked(project.trouble("SIGKILL", BATCHES + 3)).code == -9
    assert not project.finished()
    assert project.resume("+trainer.callbacks=[]").code == 0
    assert differences(content(whole(project)), content(project.run())) == []


def test_a_run_goes_on_several_times(project, whole):
    settings = ("data.batch_size=5",)
    assert project.train(*settings, project.trouble("SIGTERM", 3)).code == 143
    # the trouble of a run is part of its config, so another one takes its place
    assert project.resume(project.trouble("SIGINT", 50)).code == 130
    assert project.resume(project.trouble("SIGUSR1", 60)).code == 75
    assert project.resume().code == 0
    assert "50," in (project.run() / "metrics.csv").read_text(encoding="utf-8")
    assert differences(content(whole(project, *settings)), content(project.run())) == []


def test_patience_goes_on_counting(project, whole):
    settings = ("patience=2", "optim.optimizer.lr=0", "trainer.max_epochs=5")
    assert project.train(*settings, project.trouble("SIGTERM", 2 * BATCHES + 1)).code == 143
    assert project.resume().code == 0
    assert project.metrics()["train/epochs"] == 3
    assert differences(content(whole(project, *settings)), content(project.run())) == []


def test_a_run_stopped_after_its_last_epoch_is_only_tested(project, whole):
    settings = ("patience=1", "optim.optimizer.lr=0", "trainer.max_epochs=5")
    assert project.train(*settings, project.trouble("SIGTERM", 2 * BATCHES - 1)).code == 143
    assert project.resume().code == 0
    assert differences(content(whole(project, *settings)), content(project.run())) == []


def test_a_model_that_logs_under_its_own_names_goes_on(project):
    project.edit("mymodel/model.py", "    def forward", VALIDATION + "    def forward")
    assert project.train().code == 0
    one = content(project.run())
    assert project.train(project.trouble("SIGTERM", 9), run="runs/two").code == 143
    assert project.resume(run="runs/two").code == 0
    assert differences(one, content(project.run("two"))) == []


VALIDATION = '''    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Log under a name of its own."""
        output = self(**batch)
        self.log("val_accuracy", (output.logits.argmax(-1) == batch["labels"]).float().mean(), batch_size=1)

'''


def test_the_best_score_is_known_in_a_run_folder_that_was_moved(project):
    assert project.train(project.trouble("SIGTERM", BATCHES)).code == 143
    shutil.move(project.run(), project.run("moved"))
    assert project.resume("trainer.max_epochs=3", run="runs/moved").code == 0
    [best] = [
        line for line in (project.run("moved") / "metrics.json").read_text().splitlines() if "val/accuracy" in line
    ]
    curve = [line.split(",") for line in (project.run("moved") / "metrics.csv").read_text().splitlines()]
    scores = [float(row[curve[0].index("val/accuracy")] or 0) for row in curve[1:]]
    assert float(best.split()[1].rstrip(",")) == pytest.approx(max(scores), abs=1e-6)


def test_more_epochs_go_on_from_the_last_one(project, whole):
    assert project.train("optim.schedule=null").code == 0
    ended = project.resume("trainer.max_epochs=3")
    assert ended.code == 0
    assert [line.split()[1] for line in ended.err.splitlines() if line.startswith("epoch")] == ["3/3"]
    longer = whole(project, "optim.schedule=null", "trainer.max_epochs=3")
    assert differences(content(longer), content(project.run())) == []


def test_a_finished_run_says_so(project):
    assert project.train().code == 0
    ended = project.resume()
    assert (ended.code, project.finished()) == (3, True)
    assert "is finished" in ended.err
    assert "because: it stopped after epoch 2, as trainer.max_epochs=2 says" in ended.err
    assert "trainer.max_epochs=…" in ended.err
    assert project.resume("trainer.max_epochs=1").code == 3


def test_a_run_that_lost_its_patience_says_so(project):
    assert project.train("patience=1", "optim.optimizer.lr=0", "trainer.max_epochs=5").code == 0
    assert "as patience=1 says" in project.resume("trainer.max_epochs=9").err
    assert project.resume("patience=2").code == 0
    assert project.metrics()["train/epochs"] == 3


def test_a_run_is_not_finished_while_it_goes_on(project):
    assert project.train().code == 0
    assert project.resume("trainer.max_epochs=3", project.trouble("SIGTERM", 2 * BATCHES + 2)).code == 143
    assert not project.finished()


@pytest.mark.parametrize(
    "override",
    [
        "backbone=pretrained",
        "experiment=finetune",
        "model.dropout=0.1",
        "seed=1",
        "data.batch_size=8",
        "trainer=default",
    ],
)
def test_what_makes_another_run_is_refused(project, override):
    assert project.train(project.trouble("SIGTERM", 1)).code == 143
    ended = project.resume(override)
    assert ended.code == 3
    assert ended.err.startswith(f"error: a resumed run keeps its {override.partition('=')[0]} [")
    assert f"fix: leave {override} out, or start a new run" in ended.err


def test_a_setting_given_again_is_no_change(project):
    assert project.train("seed=3", project.trouble("SIGTERM", 1)).code == 143
    assert project.resume("seed=3", "data.num_workers=0").code == 0


def test_a_changed_data_file_is_refused_and_named(project):
    assert project.train(project.trouble("SIGTERM", 9)).code == 143
    with (project.folder / "data" / "train.tsv").open("a", encoding="utf-8") as rows:
        rows.write("one more row\tmusic\n")
    ended = project.resume()
    assert ended.code == 3
    assert ended.err.startswith("error: the data have changed since the run was started [data/train.tsv]\n")


def test_code_that_makes_another_tokenizer_is_refused(project):
    assert project.train(project.trouble("SIGTERM", 9)).code == 143
    before = (project.run() / "tokenizer" / "tokenizer.json").read_bytes()
    with (project.folder / "mymodel" / "model.py").open("a", encoding="utf-8") as code:
        code.write("\n\nMymodel.texts = classmethod(lambda cls, sample: [sample.sequence.upper()])\n")
    ended = project.resume()
    assert ended.code == 3
    assert ended.err.startswith("error: the run cannot go on with another tokenizer/tokenizer.json [")
    assert (project.run() / "tokenizer" / "tokenizer.json").read_bytes() == before


def test_data_in_another_place_are_the_same(project):
    assert project.train(project.trouble("SIGTERM", 9)).code == 143
    shutil.move(project.folder / "data", project.folder / "elsewhere")
    assert project.resume("data.path=elsewhere").code == 0


def test_a_run_without_a_checkpoint_cannot_go_on(project):
    assert project.train("optim.optimizer.lr=-1").code == 2
    ended = project.resume()
    assert ended.code == 3
    assert "cannot go on" in ended.err
    assert "it has no checkpoint: it stopped before its first validation ended, or they were removed" in ended.err


def test_a_run_whose_last_checkpoint_is_gone_goes_on_from_the_best(project):
    assert project.train("trainer.max_epochs=1").code == 0
    (project.run() / "checkpoints" / "last.ckpt").unlink()
    ended = project.resume("trainer.max_epochs=2")
    assert ended.code == 0
    assert "there is no runs/one/checkpoints/last.ckpt: going on from best.ckpt, which may be older" in ended.err


def test_a_run_that_goes_on_keeps_its_folder(project):
    assert project.train("trainer.max_epochs=1").code == 0
    ended = project.resume("trainer.max_epochs=2", "run_dir=runs/other")
    assert ended.code == 3
    assert "a resumed run keeps its run_dir" in ended.err


def test_a_damaged_checkpoint_is_not_gone_on_from(project):
    assert project.train(project.trouble("SIGTERM", 9)).code == 143
    checkpoint = project.run() / "checkpoints" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    ended = project.resume()
    assert ended.code == 5
    assert "the checkpoint is damaged" in ended.err

from __future__ import annotations

import errno
import importlib
import os
import pickle
import random
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import timeit
import webbrowser
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.cpp_extension import load as load_extension
from torch.utils.data import DataLoader

from scaffold.errors import ArtefactError, RefusedError, UsageError
from scaffold.runtime.training import checkpoints
from scaffold.runtime.training.checkpoint_io import DurableCheckpointIO


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "last.ckpt"
    checkpoints.save({"state_dict": {"weight": torch.arange(2000.0)}, "epoch": 3}, path)
    return path


def test_a_saved_state_loads_again_and_nothing_else_lies_in_the_folder(saved):
    state = checkpoints.load(saved)
    assert torch.equal(state["state_dict"]["weight"], torch.arange(2000.0))
    assert state["epoch"] == 3
    assert sorted(file.name for file in saved.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is not installed")
def test_the_record_is_what_sha256sum_checks(saved):
    checked = subprocess.run(["sha256sum", "-c", "last.ckpt.sha256"], cwd=saved.parent, capture_output=True, text=True)
    assert checked.stdout == "last.ckpt: OK\n"


def test_saving_again_replaces_the_file_and_leaves_a_hard_link_to_the_old_one_alone(saved):
    best = saved.with_name("best.ckpt")
    os.link(saved, best)
    checkpoints.save({"epoch": 4}, saved)
    assert checkpoints.load(saved)["epoch"] == 4
    assert checkpoints.load(best)["epoch"] == 3


def test_a_symbolic_link_is_verified_by_the_record_of_its_file(saved):
    link = saved.with_name("newest.ckpt")
    link.symlink_to(saved.name)
    assert checkpoints.verify(link) == checkpoints.verify(saved)


def test_both_files_verify_while_the_record_holds_the_old_and_the_new_digest(saved, tmp_path):
    other = tmp_path / "other.ckpt"
    checkpoints.save({"epoch": 4}, other)
    record = saved.with_name("last.ckpt.sha256")
    record.write_text(record.read_text() + f"{checkpoints.verify(other)}  last.ckpt\n")
    assert checkpoints.load(saved)["epoch"] == 3
    other.replace(saved)
    assert checkpoints.load(saved)["epoch"] == 4


def test_a_save_sweeps_the_drafts_of_dead_processes_and_no_others(saved):
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale = saved.with_name(f".last.ckpt.{dead.stdout.strip()}.draft")
    alive = saved.with_name(f".last.ckpt.{os.getppid()}.draft")
    stale.write_bytes(b"half")
    alive.write_bytes(b"half")
    checkpoints.save({"epoch": 4}, saved)
    assert not stale.exists()
    assert alive.exists()


def test_a_save_that_fails_leaves_the_old_checkpoint_and_no_draft(saved):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError) as caught:
            checkpoints.save({"state_dict": {"weight": torch.zeros(100_000)}}, saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.errno == errno.EFBIG
    assert checkpoints.load(saved)["epoch"] == 3
    assert sorted(file.name for file in saved.parent.iterdir()) == ["last.ckpt", "last.ckpt.sha256"]


def test_an_object_that_could_not_be_loaded_again_is_refused_when_saving(saved):
    with pytest.raises(ArtefactError, match=r"would hold pathlib\.") as caught:
        checkpoints.save({"hyper_parameters": {"folder": Path("data")}}, saved)
    assert "plain data" in caught.value.because
    assert checkpoints.load(saved)["epoch"] == 3


def test_removing_takes_the_record_along(saved):
    checkpoints.remove(saved)
    checkpoints.remove(saved)
    assert list(saved.parent.iterdir()) == []


def test_every_truncation_is_found(saved):
    content = saved.read_bytes()
    for size in range(0, len(content), 1024):
        saved.write_bytes(content[:size])
        with pytest.raises(ArtefactError) as caught:
            checkpoints.load(saved)
        assert caught.value.because == "the file is empty" or "breaks off after 0.0 MB" in caught.value.because


def test_every_truncation_is_found_without_the_record_too(saved):
    content = saved.read_bytes()
    saved.with_name("last.ckpt.sha256").unlink()
    for size in range(0, len(content), 1024):
        saved.write_bytes(content[:size])
        with pytest.raises(ArtefactError):
            checkpoints.load(saved)


def test_every_flipped_bit_is_found(saved):
    content = saved.read_bytes()
    rng = random.Random(0)
    for _ in range(200):
        position = rng.randrange(len(content))
        flipped = bytes([content[position] ^ (1 << rng.randrange(8))])
        saved.write_bytes(content[:position] + flipped + content[position + 1 :])
        with pytest.raises(ArtefactError):
            checkpoints.verify(saved)


def test_a_flipped_bit_in_the_weights_is_found_without_the_record_too(saved):
    content = saved.read_bytes()
    saved.with_name("last.ckpt.sha256").unlink()
    middle = content.index(torch.arange(2000.0).numpy().tobytes()) + 4000
    saved.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(ArtefactError, match="damaged") as caught:
        checkpoints.load(saved)
    assert "checksum" in caught.value.because


def test_a_damaged_checkpoint_is_named_with_its_cause_and_an_intact_neighbour(saved):
    best = saved.with_name("best.ckpt")
    checkpoints.save({"epoch": 2}, best)
    saved.write_bytes(saved.read_bytes()[:3000])
    with pytest.raises(ArtefactError) as caught:
        checkpoints.load(saved)
    assert str(caught.value) == (
        f"error: the checkpoint is damaged [{saved}]\n"
        "  because: it breaks off after 0.0 MB\n"
        f"  fix: use {best}, which is intact, and is used where last.ckpt is removed"
    )


def make_empty(path):
    path.write_bytes(b"")


def make_text(path):
    path.write_text("epoch 3\n" * 100)


def make_other_archive(path):
    shutil.make_archive(str(path.with_suffix("")), "zip", path.parent, "last.ckpt")
    path.with_suffix(".zip").replace(path)


def make_folder(path):
    path.unlink()
    path.mkdir()


def make_link_loop(path):
    path.unlink()
    path.symlink_to(path)


def make_child_of_a_file(path):
    path.unlink()
    path.parent.joinpath("file").write_text("")
    path.symlink_to("file/last.ckpt")


def make_one_tensor(path):
    torch.save(torch.zeros(3), path)


@pytest.mark.parametrize(
    "damage, because",
    [
        (make_empty, "the file is empty"),
        (make_text, "does not start as a checkpoint does, but with b'epoch 3"),
        (make_other_archive, "it cannot be read"),
        (make_folder, "it is a folder, not a file"),
        (make_link_loop, "the path leads nowhere"),
        (make_child_of_a_file, "the path leads nowhere"),
        (make_one_tensor, "expected a dict of states, got Tensor"),
    ],
)
def test_what_is_not_a_checkpoint_is_refused_with_its_cause(saved, damage, because):
    saved.with_name("last.ckpt.sha256").unlink()
    damage(saved)
    with pytest.raises(ArtefactError) as caught:
        checkpoints.load(saved)
    assert because in caught.value.because
    assert caught.value.exit_code == 5


def test_a_missing_checkpoint_names_those_that_are_there(saved):
    with pytest.raises(RefusedError) as caught:
        checkpoints.load(saved.with_name("best.ckpt"))
    assert "holds last.ckpt" in caught.value.because


def test_an_address_on_the_network_is_refused():
    with pytest.raises(UsageError, match=r"loaded from a file, not from 'http://localhost/last\.ckpt'"):
        checkpoints.load("http://localhost/last.ckpt")


class Gadget:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def gadgets(canary):
    write = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Gadget(os.system, f"touch {canary}"),
        "subprocess.call": Gadget(subprocess.call, ["touch", str(canary)]),
        "subprocess.Popen": Gadget(subprocess.Popen, ["touch", str(canary)]),
        "builtins.exec": Gadget(exec, write),
        "builtins.eval": Gadget(eval, write),
        "builtins.open": Gadget(open, str(canary), "w"),
        "os.mkdir": Gadget(os.mkdir, str(canary)),
        "shutil.copy": Gadget(shutil.copy, __file__, str(canary)),
        "builtins.getattr": Gadget(getattr, "os", "system"),
        "builtins.__import__": Gadget(__import__, "os"),
        "importlib.import_module": Gadget(importlib.import_module, "os"),
        "runpy.run_path": Gadget(runpy.run_path, str(canary.parent)),
        "timeit.timeit": Gadget(timeit.timeit, write),
        "pickle.loads": Gadget(pickle.loads, pickle.dumps(Gadget(exec, write))),
        "pathlib.Path.touch": Gadget(Path.touch, Path(canary)),
        "webbrowser.open": Gadget(webbrowser.open, "http://localhost"),
        "torch.load": Gadget(torch.load, str(canary)),
        "torch.hub.load": Gadget(torch.hub.load, str(canary.parent), "x"),
        "cpp_extension.load": Gadget(load_extension, "x", str(canary)),
    }


@pytest.mark.parametrize("name", sorted(gadgets(Path("/nowhere"))))
@pytest.mark.parametrize("zipped", [True, False])
def test_a_malicious_pickle_runs_nothing(tmp_path, name, zipped):
    canary, path = tmp_path / "canary", tmp_path / "last.ckpt"
    torch.save({"payload": gadgets(canary)[name]}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ArtefactError) as caught:
        checkpoints.load(path)
    assert caught.value.exit_code == 5
    assert not canary.exists()


@pytest.mark.parametrize("key", ["_class_path", "_instantiator"])
def test_hyperparameters_that_name_code_are_refused(tmp_path, key):
    path = tmp_path / "last.ckpt"
    checkpoints.save({"hyper_parameters": {key: "os.system"}}, path)
    with pytest.raises(ArtefactError, match="not safe to load") as caught:
        checkpoints.load(path)
    assert key in caught.value.because


class Tiny(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def training_step(self, batch, index):
        return self.layer(batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1)


def test_lightning_saves_resumes_and_removes_through_it(tmp_path):
    def trainer(epochs):
        keep_one = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / "checkpoints", save_last=True)
        return pl.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            callbacks=[keep_one],
            plugins=[DurableCheckpointIO()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    loader = DataLoader(torch.ones(4, 2), batch_size=2)
    trainer(2).fit(Tiny(), loader)
    resumed = trainer(3)
    resumed.fit(Tiny(), loader, ckpt_path=tmp_path / "checkpoints" / "last.ckpt")
    assert resumed.global_step == 6
    files = sorted(file.name for file in (tmp_path / "checkpoints").glob("*.ckpt"))
    assert len(files) == 2
    assert sorted(file.name for file in (tmp_path / "checkpoints").iterdir()) == sorted(
        files + [f"{name}.sha256" for name in files]
    )


def test_lightning_gets_our_error_for_a_damaged_checkpoint(saved):
    saved.write_bytes(saved.read_bytes()[:3000])
    with pytest.raises(ArtefactError):
        DurableCheckpointIO().load_checkpoint(saved, weights_only=False)

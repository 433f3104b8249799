from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf

from scaffold.errors import DataError, DivergedError, Where
from scaffold.runtime.console import entry_point, print_metrics, run_command

ROOT = Path(__file__).parents[2]


def outcome(error, capsys, **options):
    def fail():
        raise error

    with pytest.raises(SystemExit) as stopped:
        run_command(fail, **options)
    printed = capsys.readouterr()
    return stopped.value.code, printed.err, printed.out


def test_a_result_is_returned_and_nothing_printed(capsys):
    assert run_command(lambda: 3) == 3
    assert capsys.readouterr() == ("", "")


def test_an_error_of_ours_is_printed_without_a_traceback(capsys):
    error = DataError("2 rows are wrong", because="no text", fix="mend them", where=Where("train.tsv", 3))
    code, text, _ = outcome(error, capsys)
    assert code == 7
    assert text == "error: 2 rows are wrong [train.tsv:3]\n  because: no text\n  fix: mend them\n"


def test_debug_adds_the_traceback(capsys, monkeypatch):
    _, text, _ = outcome(DivergedError("the loss is nan"), capsys, debug=True)
    assert "Traceback" in text
    monkeypatch.setenv("SCAFFOLD_DEBUG", "1")
    code, text, _ = outcome(DivergedError("the loss is nan"), capsys)
    assert "Traceback" in text
    assert code == 8


def test_json_goes_to_standard_output(capsys):
    code, text, data = outcome(DataError("wrong", where=Where("a.tsv", 3)), capsys, json=True)
    assert (code, text) == (7, "")
    assert json.loads(data)["error"] == {
        "code": "data",
        "exit": 7,
        "message": "wrong",
        "because": "",
        "details": [],
        "file": "a.tsv",
        "line": 3,
        "key": None,
        "fix": "",
    }


@pytest.mark.parametrize(
    "error, code, text",
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 9, "smaller data.max_tokens"),
        (MemoryError(), 9, "do not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), 9, "do not fit"),
        (OSError(errno.ENOSPC, "No space left on device", "/runs/x"), 4, "cannot write '/runs/x'"),
        (PermissionError(errno.EACCES, "Permission denied", "/runs/x"), 4, "because: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system", "/runs"), 4, "cannot use '/runs'"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (SIGTERMException(), 143, ""),
        (SystemExit(75), 75, ""),
        (SystemExit(), None, ""),
    ],
)
def test_each_kind_of_error_has_its_exit_code(capsys, error, code, text):
    found, printed, _ = outcome(error, capsys)
    assert found == code
    assert text in printed
    assert "Traceback" not in printed


def test_lightnings_exit_after_ctrl_c_is_130(capsys):
    def interrupted():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(SystemExit) as stopped:
        run_command(interrupted)
    assert stopped.value.code == 130


def test_a_wrong_key_of_the_config_is_explained(capsys):
    config = OmegaConf.create({"trainer": {"max_epochs": 3}})
    OmegaConf.set_struct(config, True)
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: config.trainer.max_epoch)
    assert stopped.value.code == 2
    assert "did you mean trainer.max_epochs?" in capsys.readouterr().err


def test_an_error_of_the_persons_code_shows_their_frames_alone(capsys):
    class Model(torch.nn.Module):
        def forward(self, inputs):
            return torch.nn.functional.linear(inputs, torch.zeros(2, 5))

    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: Model()(torch.zeros(2, 3)))
    text = capsys.readouterr().err
    assert stopped.value.code == 1
    assert text.startswith("error: RuntimeError in test_an_error_of_the_persons_code_shows_their_frames_alone.<locals>")
    assert "Model.forward [" in text.splitlines()[0]
    assert "because: mat1 and mat2 shapes cannot be multiplied" in text
    assert "return torch.nn.functional.linear" in text
    assert "_call_impl" not in text
    assert "runtime/console.py" not in text


def test_the_cause_of_an_error_keeps_its_frames_too(capsys):
    def fail():
        try:
            json.loads("{")
        except ValueError as error:
            raise RuntimeError("no config") from error

    with pytest.raises(SystemExit):
        run_command(fail)
    text = capsys.readouterr().err
    assert "JSONDecodeError" in text
    assert 'raise RuntimeError("no config") from error' in text
    assert "decoder.py" not in text


def test_a_fault_of_the_runtime_asks_for_a_report_with_the_whole_traceback(capsys):
    with pytest.raises(SystemExit) as stopped:
        run_command(int("3").__truediv__.__self__.from_bytes)
    text = capsys.readouterr().err
    assert stopped.value.code == 1
    assert text.startswith("error: unexpected TypeError")
    assert "please report it" in text
    assert "console.py" in text


@pytest.mark.parametrize(
    "message, fix",
    [
        ("must return a ClassificationOutput", "Stub.forward must return a ClassificationOutput"),
        ("return\n  a ClassificationOutput", "return a ClassificationOutput"),
    ],
)
def test_a_bare_stub_is_named(capsys, message, fix):
    class Stub:
        def forward(self):
            raise NotImplementedError(message)

    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: Stub().forward())
    text = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "Stub.forward is not written yet [" in text.splitlines()[0]
    assert text.splitlines()[-1].endswith(fix)
    assert "Traceback" not in text


def test_metrics_are_printed_by_name(capsys):
    print_metrics({"test/loss": 0.5, "test/f1": 1.0, "train/epochs": 3, "train/stopped_early": False})
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["test/f1", "1.0000"],
        ["test/loss", "0.5000"],
        ["train/epochs", "3"],
        ["train/stopped_early", "false"],
    ]
    print_metrics({"test/loss": 0.5}, json=True)
    assert json.loads(capsys.readouterr().out) == {"test/loss": 0.5}


def test_metrics_that_are_no_numbers_are_null_in_json(capsys):
    print_metrics({"test/pearson": float("nan"), "test/loss": float("inf"), "rows/cut": 3}, json=True)
    assert json.loads(capsys.readouterr().out) == {"rows/cut": 3, "test/loss": None, "test/pearson": None}


def test_a_main_without_hydra_can_be_an_entry_point(capsys):
    @entry_point
    def main(text):
        raise DataError(text)

    assert main.__name__ == "main"
    with pytest.raises(SystemExit) as stopped:
        main("wrong")
    assert stopped.value.code == 7
    assert capsys.readouterr().err == "error: wrong\n"


SCRIPT = """
    import time, hydra
    from scaffold.runtime.console import entry_point
    from helper import make

    @entry_point
    @hydra.main(version_base="1.3", config_path="conf", config_name="train")
    def main(cfg):
        if cfg.sleep:
            print("ready", flush=True)
            time.sleep(30)
        print(make(cfg.size))

    if __name__ == "__main__":
        main()
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "train.yaml").write_text(
        "size: 3\nsleep: false\nhydra: {output_subdir: null, run: {dir: .}}\n"
        "defaults: [_self_, override hydra/job_logging: none, override hydra/hydra_logging: none]\n"
    )
    (tmp_path / "helper.py").write_text("def make(size):\n    assert size < 9, 'too big'\n    return 'x' * size\n")
    (tmp_path / "train.py").write_text(textwrap.dedent(SCRIPT))

    def start(*overrides):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "train.py", *overrides]
        return subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


@pytest.mark.parametrize(
    "overrides, code, out, err",
    [
        (
            ["siz=2"],
            2,
            "",
            "error: the config has no key 'siz' [siz]\n  because: there are size, sleep\n  fix: did you mean size?\n",
        ),
        (
            ["size=9"],
            1,
            "",
            "error: AssertionError in make [helper.py:2]\n"
            "  because: too big\n"
            "  fix: look at this line; SCAFFOLD_DEBUG=1 shows the libraries' frames, too\n"
            "Traceback (most recent call last):\n",
        ),
        (["-m", "size=1,2"], 0, "x\nxx\n", ""),
    ],
)
def test_a_script_under_hydra_ends_as_a_command_should(script, overrides, code, out, err):
    process = script(*overrides)
    printed = process.communicate(timeout=60)
    assert (process.returncode, printed[0]) == (code, out), printed[1]
    assert printed[1].startswith(err)
    assert "site-packages" not in printed[1]
    assert "Error executing job" not in printed[1]


def test_ctrl_c_ends_a_script_with_130(script):
    process = script("sleep=true")
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "interrupted\n"
    assert process.returncode == 130


def test_a_closed_pipe_ends_quietly():
    code = "from scaffold.runtime.console import run_command\nrun_command(lambda: [print(n) for n in range(100000)])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0


def test_importing_it_loads_no_library():
    code = (
        "import sys, scaffold.runtime.console; print(*{'torch', 'hydra', 'omegaconf', 'lightning'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert loaded.stdout.strip() == "", loaded.stderr

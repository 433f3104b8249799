"""The garbage collector rests only while PyTorch is loaded for the first time."""

import gc
import subprocess
import sys

from scaffold.runtime.imports import collector_paused


def test_the_collector_rests_while_torch_is_loaded(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with collector_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_collector_goes_on_where_torch_is_loaded_already():
    import torch  # noqa: F401

    frozen = gc.get_freeze_count()
    with collector_paused():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


def test_a_collector_that_was_off_stays_off(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gc.disable()
    try:
        with collector_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_modules_are_given_back_to_the_collector_at_the_end():
    lines = [
        "import atexit, gc",
        "from scaffold.runtime.imports import collector_paused",
        "atexit.register(lambda: print(gc.get_freeze_count()))",
        "with collector_paused(): import torch",
        "assert gc.get_freeze_count()",
    ]
    found = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert found.stdout == "0\n"

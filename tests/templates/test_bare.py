"""A bare project says what is to be written, and trains as soon as it is."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OPTIONAL = ("batch_predict", "training_step", "validation_step", "test_step")
INIT = """
        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)
        self.encoder = backbone.build()
        self.head = nn.Linear(self.encoder.config.hidden_size, vocabulary.size("labels"))
"""
FORWARD = """
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return self.classify(self.head(hidden[:, 0]), labels)
"""


def without(text: str, method: str) -> str:
    """Return a module's text with one method of its class deleted."""
    return re.sub(rf"\n    def {method}\(.*?(?=\n    def |\Z)", "", text, flags=re.DOTALL).rstrip("\n") + "\n"


def written(text: str, method: str, body: str) -> str:
    """Return a module's text with the stub of a method replaced, its docstring kept."""
    start = text.index(f"    def {method}(")
    end = text.index("NotImplementedError(", start)
    before = text[start:end].rpartition("        raise ")[0]
    before = before.replace("        super().__init__(vocabulary=vocabulary, optim_conf=optim_conf)\n", "")
    return text[:start] + before + body.lstrip("\n") + text[end:].partition("\n")[2]


def finish(project: Path, *keep: str) -> None:
    """Write `__init__` and `forward`, and delete the optional methods but those to keep."""
    path = project / project.name / "model.py"
    text = path.read_text(encoding="utf-8")
    text = written(written(text, "__init__", INIT), "forward", FORWARD).replace(
        "import Tensor\n", "import Tensor, nn\n"
    )
    for method in OPTIONAL:
        text = text if method in keep else without(text, method)
    path.write_text(text, encoding="utf-8")


def test_training_a_bare_project_names_file_and_method(new, opened, monkeypatch, capsys):
    opened(new("sequence-classifier", bare=True))
    monkeypatch.setattr(sys, "argv", ["train.py", "experiment=smoke"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path("train.py", run_name="__main__")
    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "error: Mymodel.__init__ is not written yet [mymodel/model.py:22]\n"
        "  because: it only raises NotImplementedError\n"
        "  fix: Mymodel.__init__ must make the layers of the model\n"
    )


def test_the_tests_of_a_bare_project_skip_and_name_the_stub(new):
    project = new("sequence-classifier", bare=True)
    command = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.search(r"= 2 skipped in", result.stdout)
    assert "__init__ is not written yet: it must make the layers of the model" in result.stdout
    assert "mymodel/model.py:" in result.stdout


def trained(project: Path) -> dict[str, float]:
    from scaffold.runtime import compose

    config = compose(project / "conf", "experiment=smoke", "run_dir=runs/one")
    return import_module("train").train(config)


def test_a_bare_project_trains_once_init_and_forward_are_written(new, opened):
    project = opened(new("sequence-classifier", bare=True))
    finish(project)
    assert "NotImplementedError" not in (project / "mymodel" / "model.py").read_text(encoding="utf-8")
    assert "test/accuracy" in trained(project)


@pytest.mark.parametrize("method", OPTIONAL)
def test_an_optional_stub_that_is_neither_written_nor_deleted_says_so(new, opened, method):
    project = opened(new("sequence-classifier", bare=True))
    finish(project, method)
    with pytest.raises(NotImplementedError, match=r"must (yield|return|log) .*, or be deleted"):
        trained(project)
        predict(project)


def predict(project: Path) -> None:
    from scaffold.runtime.commands import predict_file

    predict_file("runs/latest", "data/test.tsv", "predictions.jsonl", device="cpu")

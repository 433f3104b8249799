"""Files that do not fit: what cannot be imported or built is a finding or a plain error, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaffold.cli import main

HERE = Path(__file__).parent
SOUND = (HERE / "sequence.py").read_text(encoding="utf-8")


def crashes(found):
    return [finding for finding in found.findings if finding["rule"] == "crash"]


def test_a_model_that_prints_does_not_spoil_the_json(check):
    source = SOUND.replace("        mask = attention", "        print(input_ids.shape)\n        mask = attention")
    found = check(source, "--task", "sequence")
    assert not found.rules("error", "warning"), str(found)


def test_a_package_that_is_missing_is_a_crash_at_the_line_of_the_import(check, tmp_path):
    found = check("import no_such_package\n" + SOUND, "--task", "sequence")
    [crash] = crashes(found)
    assert "no_such_package" in crash["message"]
    assert (Path(crash["file"]).name, crash["line"]) == ("model.py", 1)


def test_a_crash_names_the_last_line_of_the_persons_own_code(check):
    source = SOUND.replace("pooled = (hidden * kept)", "pooled = (hidden[:, :, :-1] * kept)")
    found = check(source, "--task", "sequence")
    wanted = next(number for number, line in enumerate(source.splitlines(), 1) if "self.head(pooled)" in line)
    assert {crash["line"] for crash in crashes(found)} == {wanted}, str(found)


def test_one_crash_is_one_finding(check):
    source = SOUND.replace("self.head(pooled)", "self.no_such_layer(pooled)")
    assert len(crashes(check(source, "--task", "sequence"))) == 1


def test_an_argument_that_nobody_can_guess_is_asked_for(check):
    source = SOUND.replace("self, vocabulary_size=60", "self, recipe, vocabulary_size=60")
    found = check(source.replace("nn.Dropout(dropout)", "recipe.layer()"), "--task", "sequence")
    assert found.code == 10
    assert "recipe" in str(found), str(found)
    assert "--init" in str(found.findings), str(found)


def test_init_gives_arguments(check):
    source = SOUND.replace("num_labels=4, dropout=0.1", "num_labels, dropout=0.1")
    source = source.replace("vocabulary_size=60, hidden_size=32", "vocabulary_size, hidden_size")
    init = ["--init", "vocabulary_size=50", "--init", "hidden_size=16", "--init", "num_labels=3"]
    found = check(source, "--task", "sequence", *init)
    assert not found.rules("error", "warning"), str(found)


def test_a_module_beside_the_file_is_found(check, tmp_path):
    (tmp_path / "pooling_of_mine.py").write_text("def shift(pooled):\n    return pooled + 1\n", encoding="utf-8")
    source = "import pooling_of_mine\n" + SOUND.replace("self.head(pooled)", "self.head(pooling_of_mine.shift(pooled))")
    found = check(source, "--task", "sequence")
    assert not found.rules("error", "warning"), str(found)


def test_two_files_of_one_name_are_two_models(check, tmp_path):
    for name, source in (("one", SOUND), ("two", SOUND.replace("self.head(pooled)", "self.head(pooled.detach())"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.py").write_text(source, encoding="utf-8")
    assert not check(tmp_path / "one" / "model.py", "--task", "sequence").rules("error", "warning")
    assert "dead-parameter" in check(tmp_path / "two" / "model.py", "--task", "sequence").rules("error")


@pytest.mark.parametrize("source", ["def Model():\n    return 1\n", "class Model:\n    pass\n", "Model = 3\n"])
def test_what_is_no_model_is_said_to_be_none(source, tmp_path, capsys):
    (tmp_path / "model.py").write_text(source, encoding="utf-8")
    assert main(["check", f"{tmp_path / 'model.py'}:Model", "--task", "sequence"]) != 0
    printed = "".join(capsys.readouterr())
    assert "Model" in printed
    assert "Traceback" not in printed


def test_what_could_not_be_checked_is_said(check):
    left_out = {one["rule"] for one in check(SOUND, "--task", "sequence").not_checked}
    assert "predictions" in left_out
    assert "padding" not in left_out


def test_a_check_leaves_torch_as_it_was(check):
    import torch

    torch.manual_seed(3)
    state = torch.get_rng_state()
    source = SOUND.replace(
        "        mask = attention", "        torch.set_grad_enabled(False)\n        mask = attention"
    )
    check(source, "--task", "sequence")
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert torch.equal(torch.get_rng_state(), state)


def test_check_model_leaves_the_model_that_it_is_given_as_it_was():
    import torch
    from torch import nn

    from scaffold.check import check_model

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.EmbeddingBag(40, 16)
            self.head = nn.Linear(16, 3)

        def forward(self, input_ids, attention_mask, labels=None):
            logits = self.head(self.embedding(input_ids, per_sample_weights=None) * 0.5)
            return {"logits": logits, "loss": None if labels is None else nn.functional.cross_entropy(logits, labels)}

    model = Model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    report = check_model(model, task="sequence")
    assert "padding" in {found.rule for found in report.findings}
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

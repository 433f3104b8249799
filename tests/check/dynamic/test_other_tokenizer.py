"""A loaded model that reads the ids of another tokenizer is found; one that reads its own is left in peace."""

from __future__ import annotations

import pytest

from scaffold.check import check_path

BUILT = "self.encoder = backbone.build()"
IMPORTED = "from torch import Tensor, nn\n"
OWN_ENCODE = """    @classmethod
    def encode(cls, sample: Any, context: Any, stage: Any) -> Any:
        features = super().encode(sample, context, stage)
        ids = features[0]["input_ids"]
        return [features[0] | {"input_ids": [(7919 * one) % 20000 for one in ids]}]

    def forward("""


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def bert(tmp_path):
    """Save an untrained BERT with so many pieces, without a tokenizer."""
    from transformers import BertConfig, BertModel

    def save(pieces):
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        BertModel(BertConfig(vocab_size=pieces, **sizes)).save_pretrained(tmp_path / "bert")
        return str(tmp_path / "bert")

    return save


def loading(folder, name):
    """Have the project's model load an encoder by a name."""
    path = folder / "mymodel" / "model.py"
    edit(path, BUILT, f"self.encoder = AutoModel.from_pretrained({name!r}, add_pooling_layer=False)")
    edit(path, IMPORTED, f"{IMPORTED}from transformers import AutoModel\n")


@pytest.mark.parametrize("pieces", [30_000, 30])
def test_a_loaded_encoder_under_the_scratch_tokenizer_is_told_with_the_way_out(pieces, project_of, bert):
    folder, name = project_of("sequence-classifier"), bert(pieces)
    loading(folder, name)
    [found] = check_path(folder, only=["other-tokenizer"]).findings
    assert found.message.startswith(f"the table of {name} has {pieces:,} rows, and the tokenizer of the backbone ")
    assert found.measured["rows"] == pieces
    assert f"backbone=pretrained backbone.name={name}" in found.fix
    assert found.file == "mymodel/model.py"


def test_an_encoder_that_is_loaded_with_its_tokenizer_is_left_in_peace(project_of, tiny_bert):
    folder = project_of("sequence-classifier")
    loading(folder, tiny_bert)
    own = ["backbone=pretrained", f"backbone.name={tiny_bert}"]
    assert check_path(folder, only=["other-tokenizer"], overrides=own).findings == ()


def test_ids_that_are_not_those_of_the_backbones_tokenizer_are_left_in_peace(project_of, bert):
    folder = project_of("sequence-classifier")
    loading(folder, bert(30_000))
    edit(folder / "mymodel" / "model.py", "    def forward(", OWN_ENCODE)
    report = check_path(folder, only=["other-tokenizer"])
    assert (report.findings, report.checked) == ((), ("other-tokenizer",))


def test_a_loaded_model_that_reads_no_ids_of_the_batch_is_left_in_peace(project_of, bert):
    folder = project_of("sequence-classifier")
    path = folder / "mymodel" / "model.py"
    edit(path, BUILT, f"{BUILT}\n        self.other = AutoModel.from_pretrained({bert(30_000)!r})")
    edit(path, IMPORTED, f"{IMPORTED}from transformers import AutoModel\n")
    assert check_path(folder, only=["other-tokenizer"]).findings == ()


def test_what_transformers_reports_of_each_loading_is_left_out(project_of, bert, capfd):
    folder = project_of("sequence-classifier")
    loading(folder, bert(30_000))
    check_path(folder, only=["other-tokenizer", "padding"])
    told = capfd.readouterr().err
    assert "LOAD REPORT" not in told
    assert "Loading weights" not in told


def test_weights_that_a_loaded_model_lacks_are_not_told_at_each_loading(project_of, tiny_bert, capfd, caplog):
    folder = project_of("sequence-classifier")
    edit(folder / "mymodel" / "model.py", BUILT, 'self.encoder = backbone.build("AutoModelForMaskedLM").bert')
    own = ["backbone=pretrained", f"backbone.name={tiny_bert}"]
    assert check_path(folder, only=["padding"], overrides=own).checked == ("padding",)
    assert "lacks weights" not in capfd.readouterr().err + caplog.text

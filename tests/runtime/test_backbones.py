from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizer,
    ByT5Tokenizer,
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from scaffold.errors import ArtefactError, ConfigError, EnvironmentFault, RefusedError
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state, train_tokenizer

TEXTS = ["my card has not arrived", "where is my card", "the machine swallowed it"] * 3
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "my", "card", "where", "is", "it"]
BERT = {"vocab_size": 10, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**BERT)).save_pretrained(folder)
    BertTokenizer(vocab={piece: index for index, piece in enumerate(PIECES)}).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=train_tokenizer(TEXTS).backend_tokenizer, eos_token="[SEP]")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, bos_token_id=3, eos_token_id=3)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return str(folder)


def scratch(**options):
    backbone = Backbone("scratch", hidden_size=32, **options)
    return backbone, backbone.fit_processor(TEXTS)


def restored(backbone, tokenizer):
    """The backbone after its state went through a checkpoint file and JSON."""
    file = io.BytesIO()
    torch.save({"backbone": backbone.state(), "processor": processor_state(tokenizer)}, file)
    file.seek(0)
    state = json.loads(json.dumps(torch.load(file, weights_only=True)))
    return Backbone.from_state(state["backbone"], processor_from_state(state["processor"]))


def outputs(model, tokenizer):
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])[0]


@pytest.mark.parametrize("options", [{}, {"match": True}, {"blocks": ["conv"]}, {"architecture": "bert"}])
def test_a_scratch_backbone_is_made_again_from_its_state(options):
    backbone, tokenizer = scratch(**options)
    model = backbone.build()
    again = restored(backbone, tokenizer)
    copy = again.build()
    copy.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(outputs(copy, again.tokenizer), outputs(model, tokenizer))
    assert again.state() == backbone.state()


def test_lists_of_a_config_section_are_read_and_kept_as_plain_ones():
    from omegaconf import OmegaConf

    backbone = Backbone(**OmegaConf.create({"kind": "scratch", "blocks": ["conv", "attention", "conv"]}))
    assert type(backbone.state()["options"]["blocks"]) is list


def test_a_scratch_model_fits_its_tokenizer_and_trains():
    backbone, tokenizer = scratch()
    model = backbone.build()
    assert model.training
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.hidden_size == 32
    assert model.ngrams.table.any()


def test_scratch_bert_is_plain_and_has_no_pooler():
    backbone, tokenizer = scratch(architecture="bert")
    model = backbone.build()
    assert type(model) is BertModel
    assert model.pooler is None
    assert model.config.num_hidden_layers == 2
    assert tokenizer.model_max_length == 512


def test_build_takes_entries_of_the_configuration():
    backbone, _ = scratch()
    assert backbone.build(match=True).match is not None
    with pytest.raises(ConfigError, match="no entry 'mach'") as caught:
        backbone.build(mach=True)
    assert caught.value.fix == "did you mean 'match'?"


def test_a_saved_scratch_encoder_loads_as_a_pretrained_one(tmp_path):
    backbone, tokenizer = scratch()
    model = backbone.build()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = Backbone("pretrained", name=str(tmp_path))
    again = loaded.fit_processor([])
    assert again(TEXTS) == tokenizer(TEXTS)
    copy = loaded.build()
    assert torch.equal(outputs(copy, again), outputs(model, tokenizer))
    rebuilt = restored(loaded, again).build()
    rebuilt.load_state_dict(copy.state_dict(), strict=True)
    assert torch.equal(outputs(rebuilt, again), outputs(copy, again))


def test_a_scratch_backbone_loads_no_other_models_code_and_no_lightning():
    program = (
        "import sys; from scaffold.runtime.encoders.backbones import Backbone; early = 'transformers' in sys.modules;"
        "b = Backbone('scratch'); b.fit_processor(['some text']); b.build();"
        "print(early, 'lightning' in sys.modules, 'transformers.models.bert.modeling_bert' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


def test_a_scratch_backbone_has_no_heads():
    backbone, _ = scratch()
    with pytest.raises(ConfigError, match="cannot be an 'AutoModelForMaskedLM'") as caught:
        backbone.build("AutoModelForMaskedLM")
    assert "set backbone=pretrained" in caught.value.fix


def test_a_scratch_backbone_needs_its_tokenizer_first():
    with pytest.raises(RefusedError, match="needs its tokenizer") as caught:
        Backbone().build()
    assert caught.value.fix == "call backbone.fit_processor(texts) first"


def test_a_loaded_model_is_in_training_mode_and_full_precision(tmp_path, bert):
    BertModel.from_pretrained(bert).to(torch.bfloat16).save_pretrained(tmp_path)
    model = Backbone("pretrained", name=str(tmp_path)).build()
    assert all(module.training for module in model.modules())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert Backbone("pretrained", name=str(tmp_path), dtype="auto").build().dtype == torch.bfloat16


def test_an_unused_pooler_is_left_out_unless_wanted(bert):
    backbone = Backbone("pretrained", name=bert)
    assert backbone.build().pooler is None
    assert backbone.build(add_pooling_layer=True).pooler is not None
    again = Backbone.from_state(backbone.state())
    assert [again.build().pooler is None, again.build().pooler is None] == [True, False]


def test_a_model_without_a_pooler_loads_too(tmp_path, bert):
    config = DistilBertConfig(vocab_size=10, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(tmp_path)
    backbone = Backbone("pretrained", name=str(tmp_path), config={"dropout": 0.4})
    assert backbone.build().transformer.layer[0].ffn.dropout.p == 0.4


def test_weights_that_start_at_random_are_named_and_nothing_else_is_said(bert, caplog, capfd):
    backbone = Backbone("pretrained", name=bert)
    backbone.build()
    assert caplog.messages == []
    backbone.build("AutoModelForSequenceClassification")
    assert caplog.messages == [f"{bert} lacks weights that start at random: " + caplog.messages[0].split(": ")[1]]
    assert "classifier.weight" in caplog.messages[0]
    assert capfd.readouterr() == ("", "")


def test_any_auto_class_is_built_and_made_again_in_the_same_order(bert):
    backbone = Backbone("pretrained", name=bert)
    tokenizer = backbone.fit_processor(TEXTS)
    models = [
        backbone.build("AutoModelForSequenceClassification", num_labels=3),
        backbone.build("AutoModelForMaskedLM"),
        backbone.build(),
    ]
    assert models[0].config.num_labels == 3
    again = restored(backbone, tokenizer)
    copies = [again.build("AutoModelForSequenceClassification", num_labels=3), again.build("AutoModelForMaskedLM")]
    copies.append(again.build())
    for model, copy in zip(models, copies, strict=True):
        assert copy.training
        copy.load_state_dict(model.state_dict(), strict=True)
        assert torch.equal(outputs(copy, again.tokenizer), outputs(model, tokenizer))


def test_a_loaded_model_is_made_again_without_its_folder(tmp_path, bert):
    folder = tmp_path / "model"
    BertModel.from_pretrained(bert).save_pretrained(folder)
    BertTokenizer.from_pretrained(bert).save_pretrained(folder)
    backbone = Backbone("pretrained", name=str(folder))
    tokenizer = backbone.fit_processor(TEXTS)
    model = backbone.build()
    folder.rename(tmp_path / "elsewhere")
    copy = restored(backbone, tokenizer).build()
    copy.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(outputs(copy, tokenizer), outputs(model, tokenizer))


def test_sequence_to_sequence_models_are_made_again(tmp_path):
    sizes = {"vocab_size": 300, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0)).save_pretrained(tmp_path)
    backbone = Backbone("pretrained", name=str(tmp_path))
    model = backbone.build("AutoModelForSeq2SeqLM")
    copy = Backbone.from_state(backbone.state()).build("AutoModelForSeq2SeqLM")
    copy.load_state_dict(model.state_dict(), strict=True)
    assert copy.lm_head.weight is copy.shared.weight or not copy.config.tie_word_embeddings


def test_a_tokenizer_without_padding_pads_with_its_end_of_text(gpt2):
    backbone = Backbone("pretrained", name=gpt2)
    tokenizer = backbone.fit_processor(TEXTS)
    assert tokenizer.pad_token == "[SEP]"
    again = restored(backbone, tokenizer)
    assert again.tokenizer.pad_token == "[SEP]"
    model = backbone.build("AutoModelForSequenceClassification", num_labels=2)
    assert outputs(model, tokenizer).shape == (3, 2)
    copy = restored(backbone, tokenizer).build("AutoModelForSequenceClassification")
    copy.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(outputs(copy, tokenizer), outputs(model, tokenizer))


def test_on_the_meta_device_nothing_is_loaded(bert):
    backbone, _ = scratch()
    with torch.device("meta"):
        made = [backbone.build(), Backbone("pretrained", name=bert).build()]
    for model in made:
        assert all(parameter.is_meta for parameter in model.parameters())
        assert model.training


def test_a_state_made_on_the_meta_device_is_the_same(bert):
    real, meta = Backbone("pretrained", name=bert), Backbone("pretrained", name=bert)
    real.build()
    with torch.device("meta"):
        meta.build()
    (first,), (second,) = real.state()["builds"], meta.state()["builds"]
    assert {**first["config"], "architectures": None} == {**second["config"], "architectures": None}


def test_restored_code_that_asks_for_more_than_was_built_is_refused():
    backbone, tokenizer = scratch()
    backbone.build()
    again = restored(backbone, tokenizer)
    again.build()
    with pytest.raises(RefusedError, match="no longer fits its checkpoint"):
        again.build()


def test_restored_code_that_asks_for_another_class_is_refused(bert):
    backbone = Backbone("pretrained", name=bert)
    backbone.build()
    with pytest.raises(RefusedError, match="no longer fits its checkpoint") as caught:
        Backbone.from_state(backbone.state()).build("AutoModelForMaskedLM")
    assert "['AutoModel']" in caught.value.because
    assert "'AutoModelForMaskedLM'" in caught.value.because


@pytest.mark.parametrize(
    "kind, options, what, hint",
    [
        ("scrach", {}, "no kind of backbone is called 'scrach'", "set backbone=scratch or backbone=pretrained"),
        ("scratch", {"hiden_size": 64}, "no argument 'hiden_size'", "did you mean hidden_size?"),
        ("scratch", {"zzz": 1}, "no argument 'zzz'", "remove backbone.zzz"),
        ("scratch", {"dropout": "much"}, "backbone.dropout cannot be 'much'", "expected a number from 0 to 0.99"),
        ("scratch", {"match": 1}, "backbone.match cannot be 1", "expected true or false"),
        ("scratch", {"dropout": 1.5}, "backbone.dropout cannot be 1.5", "expected a number from 0 to 0.99"),
        ("scratch", {"vocabulary_size": 100}, "backbone.vocabulary_size cannot be 100", "261"),
        ("scratch", {"architecture": "brt"}, "backbone.architecture cannot be 'brt'", "expected ngram or bert"),
        ("scratch", {"hidden_size": 100}, "do not fit together", "got 100: choose one that 8 divides"),
        ("scratch", {"architecture": "bert", "match": True}, "do not fit together", "set backbone.architecture=ngram"),
        ("pretrained", {}, "needs the argument name", "set backbone.name"),
        ("pretrained", {"name": " "}, "do not fit together", "backbone.name is empty: give a folder or a hub id"),
        ("pretrained", {"name": "x", "dtype": "float31"}, "backbone.dtype cannot be 'float31'", "expected float32 or"),
        ("pretrained", {"name": "x", "revison": "main"}, "no argument 'revison'", "did you mean revision?"),
    ],
)
def test_a_wrong_option_is_refused_with_what_would_be_right(kind, options, what, hint):
    with pytest.raises(ConfigError) as caught:
        Backbone(kind, **options)
    assert what in caught.value.what
    assert hint in caught.value.because + caught.value.fix


def test_an_unknown_entry_of_the_models_configuration_is_refused(bert):
    backbone = Backbone("pretrained", name=bert, config={"hidden_dropout": 0.3})
    with pytest.raises(ConfigError, match="no entry 'hidden_dropout'") as caught:
        backbone.build()
    assert caught.value.fix == "did you mean 'hidden_dropout_prob'?"


def test_a_configuration_that_the_weights_do_not_fit_is_refused(bert):
    with pytest.raises(ConfigError, match="cannot be used like this"):
        Backbone("pretrained", name=bert, config={"intermediate_size": 48}).build()


def test_a_folder_below_home_is_found(tmp_path, bert, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").symlink_to(bert)
    assert Backbone("pretrained", name="~/model").build().config.model_type == "bert"


def test_an_unknown_auto_class_is_refused(bert):
    with pytest.raises(ConfigError, match="no Auto class called 'AutoModelForMaskedLn'") as caught:
        Backbone("pretrained", name=bert).build("AutoModelForMaskedLn")
    assert caught.value.fix == "did you mean 'AutoModelForMaskedLM'?"


def test_an_auto_class_that_the_model_does_not_have_is_refused(bert):
    with pytest.raises(ConfigError, match="cannot be used like this") as caught:
        Backbone("pretrained", name=bert).build("AutoModelForSeq2SeqLM")
    assert "BertConfig" in caught.value.because


@pytest.mark.parametrize("use", [lambda b: b.build(), lambda b: b.fit_processor(TEXTS)])
def test_a_folder_that_is_not_there_is_named(tmp_path, use):
    with pytest.raises(ConfigError, match="there is no model folder") as caught:
        use(Backbone("pretrained", name=str(tmp_path / "nowhere")))
    assert caught.value.because == "nothing is there"
    assert str(caught.value.where) == "backbone.name"


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no model") as caught:
        Backbone("pretrained", name=str(tmp_path)).build()
    assert caught.value.because == "it has no config.json"


@pytest.mark.parametrize("use", [lambda b: b.build(), lambda b: b.fit_processor(TEXTS)])
def test_a_hub_model_that_is_not_at_hand_is_an_environment_fault(tmp_path, use):
    backbone = Backbone("pretrained", name="nobody/nothing", local_files_only=True, cache_dir=str(tmp_path))
    with pytest.raises(EnvironmentFault, match="the model 'nobody/nothing' cannot be had") as caught:
        use(backbone)
    assert "give backbone.name a folder" in caught.value.fix


def test_damaged_weights_are_an_artefact_error(tmp_path, bert):
    BertModel.from_pretrained(bert).save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        Backbone("pretrained", name=str(tmp_path)).build()


def test_a_damaged_configuration_is_an_artefact_error(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ArtefactError, match="cannot be loaded"):
        Backbone("pretrained", name=str(tmp_path)).build()


def test_a_models_own_code_is_not_run_unasked(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('the code ran')")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="brings its own code, which is not run unless you say so") as caught:
        Backbone("pretrained", name=str(tmp_path)).build()
    assert "backbone.trust_remote_code=true" in caught.value.fix


def test_a_checkpoint_cannot_permit_a_models_own_code(tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('the code ran')")
    config = {"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}, "_name_or_path": str(tmp_path)}
    state = {
        "kind": "pretrained",
        "options": {"name": str(tmp_path), "trust_remote_code": True},
        "builds": [{"auto": "AutoModel", "config": {**BERT, **config}, "arguments": {}}],
    }
    assert type(Backbone.from_state(state).build()) is BertModel
    state["builds"][0]["config"]["model_type"] = "evil"
    with pytest.raises(EnvironmentFault, match="of type 'evil' cannot be made again") as caught:
        Backbone.from_state(state).build()
    assert "code from elsewhere is not run unasked" in caught.value.because


def test_a_slow_tokenizer_is_refused(tmp_path):
    BertConfig(**BERT).save_pretrained(tmp_path)
    ByT5Tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="is not a fast one") as caught:
        Backbone("pretrained", name=str(tmp_path)).fit_processor(TEXTS)
    assert "cannot be kept as JSON" in caught.value.because


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    BertConfig(**BERT).save_pretrained(tmp_path)
    backend = train_tokenizer(TEXTS).backend_tokenizer
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="cannot pad") as caught:
        Backbone("pretrained", name=str(tmp_path)).fit_processor(TEXTS)
    assert "set pad_token" in caught.value.fix

from __future__ import annotations

import string
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    MBart50Tokenizer,
    MBartConfig,
    MBartForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from scaffold.runtime.batch import Batch
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state, train_tokenizer
from scaffold.runtime.generation import (
    check_generation,
    decode_texts,
    decoder_inputs,
    encode_target,
    generate,
    set_languages,
    shift_right,
)
from scaffold.runtime.samples import BadRow
from scaffold.runtime.task import Context
from scaffold.runtime.vocabulary import Vocabulary

AUTO = "AutoModelForSeq2SeqLM"
LETTERS = [(letter, -3.0) for letter in "▁" + string.ascii_letters]
BART = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in
        (("layers", 1), ("ffn_dim", 32), ("attention_heads", 2))}  # fmt: skip


@dataclass
class Options:
    generation: dict = field(default_factory=lambda: {"max_new_tokens": 6})
    seed: int = 13
    target_language: str | None = None


@pytest.fixture(scope="module")
def scratch():
    backbone = Backbone("scratch", hidden_size=32)
    return backbone, backbone.fit_processor(["a dog runs", "ein Hund läuft"] * 2)


@pytest.fixture(scope="module")
def mbart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mbart")
    torch.manual_seed(0)
    tokenizer = MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *LETTERS])
    config = MBartConfig(
        vocab_size=len(tokenizer), d_model=16, decoder_start_token_id=2, max_position_embeddings=64, **BART
    )
    MBartForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def t5(tmp_path_factory):
    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    tokenizer = T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *LETTERS], extra_ids=0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config.min_new_tokens = 3
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def batch_of(tokenizer, texts, languages=None):
    tensors = tokenizer(texts, padding=True, return_tensors="pt")
    samples = [SimpleNamespace(target_language=code) for code in languages or [None] * len(texts)]
    return Batch({key: tensors[key] for key in ("input_ids", "attention_mask")}, samples)


def context(tokenizer, **options):
    return Context(Options(**options), Vocabulary({}), tokenizer)


# Targets


def test_a_target_ends_and_does_not_begin_with_what_the_decoder_starts_from(scratch):
    _, tokenizer = scratch
    labels = encode_target(tokenizer, "a dog", max_length=9)["labels"]
    assert tokenizer.convert_ids_to_tokens(labels) == ["Ġa", "Ġdog", "[SEP]"]


def test_a_long_target_is_cut_and_still_ends(scratch):
    _, tokenizer = scratch
    found = encode_target(tokenizer, "a dog runs " * 9, max_length=6)
    assert found["truncated"]
    assert len(found["labels"]) == 5
    assert found["labels"][-1] == tokenizer.sep_token_id


def test_a_target_of_t5_is_as_its_tokenizer_writes_it(t5):
    tokenizer = Backbone("pretrained", name=t5).fit_processor([])
    assert encode_target(tokenizer, "dog", max_length=9) == {"labels": tokenizer("dog")["input_ids"]}


def test_the_decoder_is_given_its_start_and_all_labels_but_the_last():
    config = SimpleNamespace(decoder_start_token_id=2, pad_token_id=0)
    labels = torch.tensor([[7, 8, 9], [7, -100, -100]])
    assert shift_right(labels, config).tolist() == [[2, 7, 8], [2, 7, 0]]
    assert labels[1].tolist() == [7, -100, -100]


def test_a_model_that_shifts_in_its_own_way_does_so(mbart, t5):
    for name, start in ((mbart, 2), (t5, 0)):
        model = Backbone("pretrained", name=name).build(AUTO)
        assert (
            decoder_inputs(model, torch.tensor([[7, 8], [9, -100]]))[:, 0].tolist() == [start, start] or name == mbart
        )
        assert decoder_inputs(model, None, 3).tolist() == [[start]] * 3


# Writing


def test_a_seed_makes_sampling_the_same_each_time_and_leaves_the_generator_alone(scratch):
    backbone, tokenizer = scratch
    torch.manual_seed(3)
    model = backbone.build(AUTO).eval()
    batch = batch_of(tokenizer, ["a dog", "runs"])
    ways = {"max_new_tokens": 8, "do_sample": True, "num_return_sequences": 3}
    state = torch.get_rng_state()
    one, two = (generate(model, batch, context(tokenizer, generation=ways)).sequences for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(state, torch.get_rng_state())
    assert len(one) == 6
    other = generate(model, batch, context(tokenizer, generation=ways, seed=14)).sequences
    assert one.shape != other.shape or not torch.equal(one, other)


def test_what_the_decoder_begins_with_is_no_part_of_the_text(scratch):
    backbone, tokenizer = scratch
    found = generate(backbone.build(AUTO).eval(), batch_of(tokenizer, ["a dog"]), context(tokenizer)).sequences
    assert found.shape[1] <= 6


def test_candidates_are_grouped_by_row(scratch):
    _, tokenizer = scratch
    texts = ["a dog", "runs", "ein", "Hund", "", "läuft"]
    ids = tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
    rows = [(found.value, found.candidates) for found in decode_texts(ids, 2, tokenizer)]
    assert rows == [("a dog", ["a dog", "runs", "ein"]), ("Hund", ["Hund", "", "läuft"])]
    assert [found.candidates for found in decode_texts(ids, 6, tokenizer)] == [None] * 6


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_beam": 4}, "generate takes no 'num_beam'; did you mean num_beams?"),
        ({"num_beams": "three"}, "generation.num_beams to be a whole number of at least 1, got 'three'"),
        ({"num_beams": 0}, "generation.num_beams to be a whole number of at least 1, got 0"),
        ({"num_beams": True}, "generation.num_beams to be a whole number of at least 1, got True"),
        ({"do_sample": "yes"}, "generation.do_sample to be true or false, got 'yes'"),
        ({"top_p": 2}, "generation.top_p to be a number from 0 to 1, got 2"),
        ({"do_sample": True, "temperature": 0}, "a generation.temperature above 0 with do_sample, got 0"),
        ({"num_return_sequences": 3}, "at most num_beams, or do_sample, got 3 and 1"),
    ],
)
def test_settings_that_generate_would_refuse_are_refused_at_once(settings, message):
    with pytest.raises(ValueError, match=r"generate takes|expected") as caught:
        check_generation(settings)
    assert message in str(caught.value)
    check_generation({"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.8, "no_repeat_ngram_size": 3})
    check_generation({"num_beams": None, "temperature": 0, "early_stopping": "never"})
    check_generation({"do_sample": True, "num_return_sequences": 3, "temperature": 0.7, "top_p": 0.9})


# Languages


def test_each_row_is_begun_in_its_own_language(mbart):
    backbone = Backbone("pretrained", name=mbart)
    tokenizer, model = backbone.fit_processor([]), backbone.build(AUTO).eval()
    given = []
    hook = model.model.decoder.register_forward_hook(
        lambda _, __, kwargs, ___: given.append(kwargs["input_ids"]), with_kwargs=True
    )
    batch = batch_of(tokenizer, ["dog", "cat", "man"], ["fr_XX", None, "ro_RO"])
    generate(model, batch, context(tokenizer, target_language="de_DE"))
    hook.remove()
    starts = [tokenizer.convert_ids_to_tokens(row) for row in given[0].tolist()]
    assert starts == [["</s>", "fr_XX"], ["</s>", "de_DE"], ["</s>", "ro_RO"]]


def test_training_and_writing_begin_alike(mbart):
    backbone = Backbone("pretrained", name=mbart)
    tokenizer, model = backbone.fit_processor([]), backbone.build(AUTO)
    set_languages(tokenizer, "en_XX", "de_DE")
    labels = encode_target(tokenizer, "Hund", max_length=9)["labels"]
    given = decoder_inputs(model, torch.tensor([labels]))[0].tolist()
    assert tokenizer.convert_ids_to_tokens(given[:2]) == ["</s>", "de_DE"]
    assert tokenizer.convert_ids_to_tokens(tokenizer("dog")["input_ids"])[0] == "en_XX"


def test_a_row_without_a_language_gets_the_tokenizers_own_whatever_came_before(mbart):
    tokenizer = MBart50Tokenizer.from_pretrained(mbart)
    own = tokenizer.src_lang
    set_languages(tokenizer, "de_DE", None)
    assert tokenizer.src_lang == "de_DE"
    set_languages(tokenizer, None, None)
    assert tokenizer.src_lang == own


def test_a_bart_begins_with_the_token_that_its_targets_begin_with():
    tokenizer = train_tokenizer(["a dog runs"] * 2)
    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=16, decoder_start_token_id=3, bos_token_id=2, eos_token_id=3, pad_token_id=0,
        forced_eos_token_id=None, **BART,
    )  # fmt: skip
    model = BartForConditionalGeneration(config).eval()
    given = []
    model.model.decoder.register_forward_hook(
        lambda _, __, kwargs, ___: given.append(kwargs["input_ids"]), with_kwargs=True
    )
    generate(model, batch_of(tokenizer, ["a dog"]), context(tokenizer))
    assert given[0].tolist() == [[3, 2]]
    assert encode_target(tokenizer, "a", max_length=9)["labels"][0] == 2


def test_a_language_that_the_tokenizer_lacks_is_named(mbart, scratch):
    tokenizer = Backbone("pretrained", name=mbart).fit_processor([])
    with pytest.raises(BadRow, match="'de_DD' is no language of this backbone's tokenizer; did you mean 'de_DE'"):
        set_languages(tokenizer, None, "de_DD")
    with pytest.raises(BadRow, match="expected no language, as the tokenizer of this backbone has none, got 'de'"):
        set_languages(scratch[1], "de", None)
    set_languages(scratch[1], None, None)


# Checkpoints


def test_a_checkpoint_keeps_how_a_pretrained_model_generates(t5):
    backbone = Backbone("pretrained", name=t5)
    tokenizer = backbone.fit_processor([])
    model = backbone.build(AUTO).eval()
    again = Backbone.from_state(backbone.state(), processor_from_state(processor_state(tokenizer))).build(AUTO).eval()
    again.load_state_dict(model.state_dict())
    assert again.generation_config.min_new_tokens == 3
    batch = batch_of(tokenizer, ["dog", "a man"])
    first, second = (generate(one, batch, context(tokenizer)).sequences for one in (model, again))
    assert torch.equal(first, second)

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

from scaffold.errors import ConfigError, ModelError
from scaffold.runtime import generation
from scaffold.runtime.batch import Batch
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state, train_tokenizer
from scaffold.runtime.generation import (
    check_generation,
    check_languages,
    decode_texts,
    decoder_inputs,
    encode_target,
    generate,
    set_languages,
    shift_right,
    tell_unheeded,
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


@pytest.fixture
def told(caplog):
    """What is said: what was said before in this process is said again."""
    for one in (generation._tell_no_languages, generation._tell_unheeded):
        one.cache_clear()
    return caplog


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
        ({"num_beam": 4}, "generate takes no 'num_beam' | it is none of its arguments | did you mean num_beams?"),
        ({"num_beams": "three"}, "cannot be 'three' | expected a whole number of at least 1 | set it to such a value"),
        ({"num_beams": 0}, "cannot be 0 | expected a whole number of at least 1 | set it to such a value"),
        ({"num_beams": True}, "cannot be True | expected a whole number of at least 1 | set it to such a value"),
        ({"do_sample": "yes"}, "cannot be 'yes' | expected true or false | set it to such a value"),
        ({"top_p": 2}, "cannot be 2 | expected a number from 0 to 1 | set it to such a value"),
        (
            {"temperature": 0, "do_sample": True},
            "cannot be 0 | expected one above 0 with do_sample | leave do_sample out instead",
        ),
        (
            {"num_return_sequences": 3},
            "cannot be 3 | expected at most num_beams, which is 1, or do_sample | set task.generation.num_beams=3 too",
        ),
        (
            {"num_beam_groups": 2, "diversity_penalty": 0.5},
            "cannot be 2 | transformers does it with code from the hub alone, which is not run here"
            " | leave it out; do_sample gives varied texts, num_beams likelier ones",
        ),
    ],
)
def test_settings_that_generate_would_refuse_are_refused_at_once_and_by_their_key(settings, message):
    with pytest.raises(ConfigError) as caught:
        check_generation(settings)
    key = f"task.generation.{next(iter(settings))}"
    found = " | ".join([caught.value.what.removeprefix(f"{key} "), caught.value.because, caught.value.fix])
    assert (found, caught.value.where.key) == (message, key)


def test_settings_that_can_be_are_taken():
    check_generation({"num_beams": 4, "num_return_sequences": 3, "length_penalty": 0.8, "no_repeat_ngram_size": 3})
    check_generation({"num_beams": None, "temperature": 0, "early_stopping": "never", "num_beam_groups": 1})
    check_generation({"do_sample": True, "num_return_sequences": 3, "temperature": 0.7, "top_p": 0.9})


@pytest.mark.parametrize(
    "settings, most",
    [
        ({"max_new_tokens": 9, "max_length": 4}, 3),
        ({"max_new_tokens": 2, "max_length": 4}, 2),
        ({"max_length": 4}, 3),
        ({"max_length": 1}, 1),
        ({"max_new_tokens": 5, "max_length": None}, 5),
    ],
)
def test_max_length_counts_the_start_too_and_the_smaller_bound_holds(scratch, settings, most):
    backbone, tokenizer = scratch
    ways = context(tokenizer, generation={"min_new_tokens": most, **settings})
    assert generate(backbone.build(AUTO).eval(), batch_of(tokenizer, ["a dog"]), ways).sequences.shape[1] == most


# What an `infer` of one's own gives


@pytest.mark.parametrize(
    "ids, text",
    [
        ("a dog [SEP] runs [SEP] runs", "a dog"),
        ("a dog runs", "a dog runs"),
        ("[CLS] a dog [SEP] [PAD]", "a dog"),
        ("[SEP] [CLS] a dog [SEP] runs", "a dog"),  # a BART begins with the token that ends its texts
        ("[SEP] a dog [SEP] [PAD]", "a dog"),  # so it does where its tokenizer writes no <s>
        ("[SEP] runs runs", "runs runs"),
        ("[SEP] [PAD] [PAD]", ""),
        ("[SEP]", ""),
        ("[SEP] [SEP] runs", ""),
    ],
)
def test_a_text_ends_where_its_end_is_written(scratch, ids, text):
    _, tokenizer = scratch
    words = [f"Ġ{word}" if word.isalpha() else word for word in ids.split()]
    sequences = torch.tensor([tokenizer.convert_tokens_to_ids(words)])
    assert decode_texts(sequences, 1, tokenizer)[0].value == text


def test_what_mbart_begins_with_is_not_the_end_of_its_text(mbart):
    tokenizer = Backbone("pretrained", name=mbart).fit_processor([])
    ids = tokenizer.convert_tokens_to_ids(["</s>", "de_DE", "▁", "H", "u", "</s>", "n"])
    assert decode_texts(torch.tensor([ids]), 1, tokenizer)[0].value == "Hu"


@pytest.mark.parametrize("written", [3, 1])
def test_texts_that_no_row_can_be_found_for_are_refused(scratch, written):
    with pytest.raises(ModelError, match=f"infer wrote {written} texts for 2 rows") as caught:
        decode_texts(torch.zeros(written, 4, dtype=torch.long), 2, scratch[1])
    assert "the candidates of a row together" in caught.value.because


def test_candidates_that_were_asked_for_and_not_written_are_said_once(told):
    for _ in range(3):
        tell_unheeded({"num_return_sequences": 3}, 1)
        tell_unheeded({"num_return_sequences": 2}, 2)
        tell_unheeded({}, 1)
    [message] = told.messages
    assert message.startswith("infer wrote 1 text for each row, though task.generation.num_return_sequences is 3: ")


def test_generate_takes_a_plain_dict_where_nothing_belongs_to_a_row(scratch, mbart):
    backbone, tokenizer = scratch
    batch = batch_of(tokenizer, ["a dog", "runs"])
    model = backbone.build(AUTO).eval()
    alike = (generate(model, one, context(tokenizer)).sequences for one in (batch, dict(batch)))
    assert torch.equal(*alike)
    several = context(tokenizer, generation={"num_beams": 2, "num_return_sequences": 2})
    multilingual = Backbone("pretrained", name=mbart).fit_processor([])
    for known, because in ((several, "several candidates for each row"), (context(multilingual), "languages")):
        with pytest.raises(ModelError, match="tensors without their rows") as caught:
            generate(model, dict(batch), known)
        assert because in caught.value.because
        assert "rows = Batch(batch, samples)" in caught.value.fix


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


def test_languages_of_rows_are_passed_over_and_said_once_where_the_tokenizer_has_none(scratch, told):
    set_languages(scratch[1], None, None)
    assert not told.messages
    for code in ("en_XX", "de_DE"):
        set_languages(scratch[1], code, "ro_RO")
    assert told.messages == [
        "source_language and target_language are passed over: the tokenizer of this backbone has no languages"
    ]


def test_a_language_that_the_settings_name_is_refused_where_the_tokenizer_has_none(scratch, mbart):
    options = Options(target_language="de_DE")
    with pytest.raises(ConfigError, match=r"task\.target_language cannot be 'de_DE'") as caught:
        check_languages(scratch[1], options)
    assert caught.value.because == "the tokenizer of this backbone has no languages"
    check_languages(Backbone("pretrained", name=mbart).fit_processor([]), options)
    check_languages(scratch[1], Options())


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

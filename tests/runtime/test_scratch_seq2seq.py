from __future__ import annotations

import io
import math

import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from scaffold.errors import ConfigError
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoders.scratch_seq2seq import ScratchSeq2Seq
from scaffold.runtime.encoders.tokenizers import processor_from_state, processor_state

PAIRS = [
    ("a dog runs", "ein Hund läuft"),
    ("two small dogs run on the grass", "zwei kleine Hunde laufen auf dem Gras"),
    ("a man sleeps", "ein Mann schläft"),
    ("it is the café, in the old town by the river", "es ist das Café"),
]
AUTO = "AutoModelForSeq2SeqLM"
WAYS = [{}, {"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True}, {"no_repeat_ngram_size": 2}]


@pytest.fixture(scope="module")
def backbone():
    found = Backbone("scratch", hidden_size=32, vocabulary_size=400)
    found.fit_processor([text for pair in PAIRS for text in pair])
    return found


@pytest.fixture
def model(backbone):
    """A model whose texts differ: as it starts, it would say one token for ever."""
    torch.manual_seed(0)
    made = backbone.build(AUTO)
    torch.nn.init.normal_(made.output_norm.weight, std=3.0)
    return made.eval()


def sources(backbone, **how):
    return backbone.tokenizer([source for source, _ in PAIRS], padding=True, return_tensors="pt", **how)


def labels(backbone):
    ids = backbone.tokenizer([target for _, target in PAIRS], padding=True, return_tensors="pt")["input_ids"][:, 1:]
    return ids.masked_fill(ids == backbone.tokenizer.pad_token_id, -100)


def written(model, batch, most=14, **how):
    torch.manual_seed(1)
    return model.generate(batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=most, **how)


def logits(model, batch, given):
    with torch.no_grad():
        found = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], decoder_input_ids=given)
    return found.logits


@pytest.mark.parametrize("how", WAYS)
def test_what_was_kept_of_earlier_steps_changes_no_text(model, backbone, how):
    batch = sources(backbone)
    assert torch.equal(written(model, batch, **how), written(model, batch, use_cache=False, **how))


def test_generate_reads_each_token_once(model, backbone):
    lengths = []
    model.layers[0].register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    found = written(model, sources(backbone))
    assert lengths == [1] * (found.shape[1] - 1)


def test_greedy_text_is_the_likeliest_token_at_each_step(model, backbone):
    batch = sources(backbone)
    found = written(model, batch)
    assert len(set(found[:, 1:].flatten().tolist())) > 4
    best = logits(model, batch, found[:, :-1]).argmax(dim=-1)
    going_on = (found[:, :-1] != backbone.tokenizer.sep_token_id).cumprod(dim=1).bool()
    assert torch.equal(best[going_on], found[:, 1:][going_on])


def test_the_candidates_of_a_beam_come_with_the_likeliest_first(model, backbone):
    batch = sources(backbone)
    found = written(model, batch, num_beams=6, num_return_sequences=3, length_penalty=0.0)
    given, said = found[:, :-1], found[:, 1:]
    repeated = {key: value.repeat_interleave(3, dim=0) for key, value in batch.items()}
    each = logits(model, repeated, given).log_softmax(dim=-1).gather(-1, said.unsqueeze(-1)).squeeze(-1)
    scores = (each * (said != backbone.tokenizer.pad_token_id)).sum(dim=1).view(4, 3)
    torch.testing.assert_close(scores, scores.sort(dim=1, descending=True).values)


@pytest.mark.parametrize("how", WAYS[:2])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_the_other_rows_change_no_text(model, backbone, side, how):
    batch = sources(backbone, padding_side=side)
    together = backbone.tokenizer.batch_decode(written(model, batch, **how))
    alone = []
    for source, _ in PAIRS:
        alone += backbone.tokenizer.batch_decode(written(model, backbone.tokenizer(source, return_tensors="pt"), **how))
    assert [text.replace("[PAD]", "") for text in together] == [text.replace("[PAD]", "") for text in alone]


def test_scores_depend_on_the_source_and_on_what_was_written_but_not_on_what_comes(model, backbone):
    batch = sources(backbone)
    given = torch.randint(5, 260, (4, 9))
    before = logits(model, batch, given)
    changed = given.clone()
    changed[:, 5] = 7
    after = logits(model, batch, changed)
    torch.testing.assert_close(after[:, :5], before[:, :5])
    assert (after[:, 5:] - before[:, 5:]).abs().amax(dim=(0, 2)).min() > 1e-3
    other = {key: value.flip(0) for key, value in batch.items()}
    assert (logits(model, other, given) - before).abs().max() > 1e-3


def test_the_loss_is_that_of_the_next_token_and_passes_over_padding(model, backbone):
    batch, wanted = sources(backbone), labels(backbone)
    found = model(**{key: batch[key] for key in ("input_ids", "attention_mask")}, labels=wanted)
    given = torch.cat([torch.full((4, 1), backbone.tokenizer.cls_token_id), wanted[:, :-1].clamp(min=0)], dim=1)
    expected = F.cross_entropy(logits(model, batch, given)[wanted != -100], wanted[wanted != -100])
    torch.testing.assert_close(found.loss, expected)


def test_it_starts_with_no_opinion_and_learns_its_rows(backbone):
    torch.manual_seed(0)
    model = backbone.build(AUTO, dropout=0.0)
    inputs = {key: sources(backbone)[key] for key in ("input_ids", "attention_mask")}
    wanted = labels(backbone)
    assert model(**inputs, labels=wanted).loss.item() == pytest.approx(math.log(model.config.vocab_size), rel=0.2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        loss = model(**inputs, labels=wanted).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    texts = backbone.tokenizer.batch_decode(written(model.eval(), inputs, most=40), skip_special_tokens=True)
    assert [text.strip() for text in texts] == [target for _, target in PAIRS]
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("tied", [False, True])
def test_a_checkpoint_makes_it_again_with_its_head_as_it_was(backbone, tied):
    fresh = backbone.unbuilt()
    model = fresh.build(AUTO, tie_word_embeddings=tied).eval()
    file = io.BytesIO()
    torch.save({"backbone": fresh.state(), "processor": processor_state(backbone.tokenizer)}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    again = Backbone.from_state(state["backbone"], processor_from_state(state["processor"])).build(AUTO)
    assert type(again) is ScratchSeq2Seq
    again.load_state_dict(model.state_dict(), strict=True)
    assert (again.lm_head.weight is again.embeddings.weight) == tied
    batch = sources(backbone)
    assert torch.equal(written(again.eval(), batch, num_beams=2), written(model, batch, num_beams=2))


def test_a_saved_one_loads_as_a_pretrained_one(model, backbone, tmp_path):
    model.save_pretrained(tmp_path)
    backbone.tokenizer.save_pretrained(tmp_path)
    loaded = Backbone("pretrained", name=str(tmp_path))
    loaded.fit_processor([])
    copy = loaded.build(AUTO).eval()
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in copy.state_dict().items())
    assert torch.equal(written(copy, sources(backbone)), written(model, sources(backbone)))


def test_another_head_takes_the_place_of_its_own(model, backbone):
    size = model.config.hidden_size
    head = torch.nn.Sequential(torch.nn.Linear(size, size), torch.nn.Tanh(), model.get_output_embeddings())
    before = written(model, sources(backbone))
    model.set_output_embeddings(head)
    assert not torch.equal(written(model, sources(backbone))[:, :4], before[:, :4])


def test_the_states_of_the_decoder_are_given_where_they_are_asked_for(model, backbone):
    batch, given = sources(backbone), torch.randint(5, 260, (4, 9))
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"], "decoder_input_ids": given}
    assert model(**inputs).decoder_hidden_states is None
    found = model(**inputs, output_hidden_states=True)
    assert [tuple(states.shape) for states in found.decoder_hidden_states] == [(4, 9, 32)] * 3
    assert torch.equal(model.lm_head(found.decoder_hidden_states[-1]), found.logits)


def test_an_option_says_how_many_layers_write():
    backbone = Backbone("scratch", hidden_size=32, layers=3)
    backbone.fit_processor([text for pair in PAIRS for text in pair])
    assert len(backbone.build(AUTO).layers) == 3


def test_bert_has_no_decoder():
    backbone = Backbone("scratch", hidden_size=32, architecture="bert")
    backbone.fit_processor(["some text"])
    with pytest.raises(ConfigError, match="architecture bert has no decoder") as caught:
        backbone.build(AUTO)
    assert caught.value.fix == "set backbone.architecture=ngram, or backbone=pretrained"

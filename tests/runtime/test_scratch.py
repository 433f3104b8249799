from __future__ import annotations

import pytest
import torch

from scaffold.errors import ConfigError
from scaffold.runtime.encoders.scratch_encoder import ScratchConfig, ScratchEncoder
from scaffold.runtime.encoders.tokenizers import train_tokenizer

TEXTS = ["My card has not arrived", "my card was swallowed by the machine", "Where is it?", "the café is closed"] * 3


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TEXTS)


def make(tokenizer, **sizes) -> ScratchEncoder:
    torch.manual_seed(0)
    config = ScratchConfig(vocab_size=len(tokenizer), hidden_size=32, ngram_buckets=500, **sizes)
    encoder = ScratchEncoder(config)
    encoder.read_pieces(tokenizer)
    for name, parameter in encoder.named_parameters():
        if name.startswith(("segments", "match.same")):  # they start at zero, where no test would see them
            torch.nn.init.normal_(parameter, std=0.5)
    return encoder.eval()


def states(encoder, batch):
    with torch.no_grad():
        return encoder(**batch).last_hidden_state


@pytest.mark.parametrize("match", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_and_the_other_rows_change_nothing(tokenizer, match, side):
    encoder = make(tokenizer, match=match)
    pairs = [("my card", "where is my card?"), (TEXTS[1], TEXTS[0]), ("it", "is")]
    sizes = {"padding": "max_length", "max_length": 40, "padding_side": side}
    batch = tokenizer(*zip(*pairs, strict=True), **sizes, return_tensors="pt")
    together = states(encoder, batch)
    for row, pair in enumerate(pairs):
        alone = states(encoder, tokenizer(*pair, return_tensors="pt"))[0]
        mine = together[row][batch["attention_mask"][row].bool()]
        torch.testing.assert_close(mine, alone, atol=1e-5, rtol=1e-4)


def test_what_stands_in_the_padding_changes_nothing(tokenizer):
    encoder = make(tokenizer, match=True)
    batch = tokenizer(["my card"], ["my"], padding="max_length", max_length=12, return_tensors="pt")
    before = states(encoder, batch)
    real = batch["attention_mask"].bool()
    batch["input_ids"][~real] = tokenizer("card", add_special_tokens=False)["input_ids"][0]
    batch["token_type_ids"][~real] = 1
    torch.testing.assert_close(states(encoder, batch)[real], before[real])


def test_a_row_of_nothing_but_padding_gives_finite_numbers(tokenizer):
    encoder = make(tokenizer, match=True)
    nothing = torch.zeros(2, 5, dtype=torch.long)
    assert states(encoder, {"input_ids": nothing, "attention_mask": nothing}).isfinite().all()


def test_mask_and_segments_may_be_left_out(tokenizer):
    encoder = make(tokenizer)
    batch = tokenizer("my card", return_tensors="pt")
    torch.testing.assert_close(states(encoder, {"input_ids": batch["input_ids"]}), states(encoder, batch))


def test_inputs_of_any_length_are_taken(tokenizer):
    encoder = make(tokenizer)
    ids = torch.randint(5, len(tokenizer), (1, 3000))
    assert states(encoder, {"input_ids": ids}).shape == (1, 3000, 32)


def test_order_matters(tokenizer):
    encoder = make(tokenizer, blocks=["attention"])
    ids = torch.tensor([[10, 20, 30, 40]])
    there, back = (states(encoder, {"input_ids": order})[0] for order in (ids, ids.flip(1)))
    assert not torch.allclose(there, back.flip(0), atol=1e-4)


def test_words_that_share_letters_start_out_alike(tokenizer):
    texts = ["arrived arrival swallowed"] * 3
    pieces = train_tokenizer(texts)
    encoder = make(pieces)
    ids = pieces(texts[:1], add_special_tokens=False, return_tensors="pt")["input_ids"]
    assert ids.shape == (1, 3)
    arrived, arrival, swallowed = encoder.ngrams(ids)[0]
    cosine = torch.nn.functional.cosine_similarity
    assert cosine(arrived, arrival, dim=0) > cosine(arrived, swallowed, dim=0) + 0.1


def test_the_feature_table_is_the_same_each_time_and_empty_for_no_piece(tokenizer):
    first, second = make(tokenizer), make(tokenizer)
    table = first.ngrams.table
    assert torch.equal(table, second.ngrams.table)
    assert (table[:, 0] > 0).all()
    assert int(table.max()) < 500


def test_a_pair_sees_what_both_segments_share(tokenizer):
    encoder = make(tokenizer, match=True, blocks=[])
    shared, foreign = (tokenizer("my card", other, return_tensors="pt") for other in ("a card", "a café"))
    position = 2
    assert tokenizer.convert_ids_to_tokens(shared["input_ids"][0])[position] == "Ġcard"
    difference = states(encoder, shared)[0, position] - states(encoder, foreign)[0, position]
    assert difference.abs().max() > 0.1


def test_special_tokens_match_nothing(tokenizer):
    encoder = make(tokenizer, match=True, blocks=[])
    plain = make(tokenizer, blocks=[])
    plain.load_state_dict(encoder.state_dict(), strict=False)
    one = tokenizer("my card has not arrived", return_tensors="pt")
    torch.testing.assert_close(states(encoder, one), states(plain, one))


@pytest.mark.parametrize("match", [False, True])
def test_saving_and_loading_is_bit_equal(tokenizer, tmp_path, match):
    encoder = make(tokenizer, match=match)
    encoder.save_pretrained(tmp_path)
    loaded = ScratchEncoder.from_pretrained(tmp_path)
    assert loaded.config.to_dict() == {**encoder.config.to_dict(), "_name_or_path": str(tmp_path)}
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    batch = tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt")
    assert torch.equal(states(loaded, batch), states(encoder, batch))


def test_the_start_is_what_was_designed(tokenizer):
    torch.manual_seed(0)
    encoder = ScratchEncoder(ScratchConfig(vocab_size=len(tokenizer), match=True))
    assert encoder.ngrams.bag.weight.std().item() == pytest.approx(0.1, abs=0.002)
    assert not encoder.ngrams.bag.weight[0].any()
    assert not encoder.segments.weight.any()
    assert torch.equal(encoder.match.query.weight, torch.eye(128))
    assert encoder.match.temperature == 10.0


def test_an_outer_model_that_initialises_itself_leaves_the_encoder_alone(tokenizer):
    encoder = make(tokenizer)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}

    class Outer(ScratchEncoder.__base__):
        config_class = ScratchConfig

        def __init__(self, config):
            super().__init__(config)
            self.encoder = encoder
            self.head = torch.nn.Linear(32, 2)
            self.post_init()

    outer = Outer(ScratchConfig())
    assert all(torch.equal(value, outer.encoder.state_dict()[name]) for name, value in before.items())


def test_every_parameter_learns(tokenizer):
    encoder = make(tokenizer, match=True).train()
    batch = tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt")
    encoder(**batch).last_hidden_state.square().sum().backward()
    unused = [name for name, value in encoder.named_parameters() if value.grad is None]
    assert not unused
    assert not encoder.ngrams.bag.weight.grad[0].any()


def test_half_precision_stays_near_full_precision(tokenizer):
    encoder = make(tokenizer, match=True)
    batch = tokenizer(TEXTS, TEXTS[::-1], padding=True, return_tensors="pt")
    real = batch["attention_mask"].bool()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = states(encoder, batch)
    assert (half.float() - states(encoder, batch))[real].abs().mean() < 0.05


def test_a_graph_for_every_length_can_be_exported(tokenizer):
    encoder = make(tokenizer, match=True)
    batch = dict(tokenizer(TEXTS[:2], TEXTS[2:4], padding=True, return_tensors="pt"))
    names = ("input_ids", "attention_mask", "token_type_ids")
    sizes = {name: {1: torch.export.Dim.AUTO} for name in names}
    program = torch.export.export(encoder, (), {name: batch[name] for name in names}, dynamic_shapes=sizes)
    longer = dict(tokenizer(TEXTS[2:4], TEXTS[:2], padding="max_length", max_length=33, return_tensors="pt"))
    exported = program.module()(**{name: longer[name] for name in names}).last_hidden_state
    torch.testing.assert_close(exported, states(encoder, longer))


def test_an_unknown_block_is_refused():
    with pytest.raises(ConfigError, match="unknown block 'convolution'") as caught:
        ScratchEncoder(ScratchConfig(blocks=["convolution"]))
    assert caught.value.because == "the blocks are conv and attention"


def test_heads_must_share_the_size_evenly():
    with pytest.raises(ConfigError, match="hidden_size 36 does not fit 4 attention heads") as caught:
        ScratchEncoder(ScratchConfig(hidden_size=36))
    assert caught.value.fix == "choose a hidden_size that 8 divides"

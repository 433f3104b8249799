"""Predictions that do not come from what forward scores are found, and right ways to write are left in peace."""

from __future__ import annotations

from textwrap import dedent, indent

import pytest

from scaffold.check import check_path

HEAD = """\
\"\"\"Other models of the project.\"\"\"

import copy

import torch
from scaffold.runtime import BaseModule, GenerationOutput, decoder_inputs, generate
from torch import nn

from mymodel.model import Mymodel
from mymodel.task import GenerationTask


class Own(GenerationTask, BaseModule):
    \"\"\"A recurrent encoder and decoder.\"\"\"

    def __init__(self, context, optim_conf, label_smoothing=0.0):
        super().__init__(optim_conf=optim_conf)
        self.words = nn.Embedding(len(context.processor), 64)
        self.reader = nn.GRU(64, 64, batch_first=True)
        self.writer = nn.GRU(64, 64, batch_first=True)
        self.head = nn.Linear(64, len(context.processor))
        self.start = context.processor.cls_token_id

    def read(self, input_ids, attention_mask):
        states, _ = self.reader(self.words(input_ids))
        return states[torch.arange(len(states)), attention_mask.sum(1) - 1][None]

    def write(self, ids, state):
        hidden, state = self.writer(self.words(ids), state)
        return self.head(hidden), state

    def forward(self, input_ids, attention_mask, labels=None):
        given = input_ids.new_full((len(input_ids), 1), self.start)
        if labels is not None:
            given = torch.cat([given, labels[:, :-1].clamp(min=0)], dim=1)
        return self.predict_tokens(self.write(given, self.read(input_ids, attention_mask))[0], labels)

    def infer(self, batch):
        state, found = self.read(batch["input_ids"], batch["attention_mask"]), []
        now = batch["input_ids"].new_full((len(batch["input_ids"]), 1), self.start)
        for _ in range(6):
            logits, state = self.write(now, state)
            now = self.chosen(logits)
            found.append(now)
        return GenerationOutput(sequences=torch.cat(found, dim=1))

    def chosen(self, logits):
        return logits[:, -1:].argmax(dim=-1)


"""
CALLED = 'input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], max_new_tokens=9'
SOUND = {
    "beams": f"""
        def infer(self, batch):
            found = self.seq2seq.generate({CALLED}, num_beams=3, num_return_sequences=2, no_repeat_ngram_size=2)
            return GenerationOutput(sequences=found)
    """,
    "sampling": f"""
        def infer(self, batch):
            return GenerationOutput(sequences=self.seq2seq.generate({CALLED}, do_sample=True, temperature=9.0))
    """,
    "a token that is forced": f"""
        def infer(self, batch):
            return GenerationOutput(sequences=self.seq2seq.generate({CALLED}, forced_bos_token_id=7))
    """,
    "a tied head": """
        def __init__(self, backbone, optim_conf, label_smoothing=0.1):
            super().__init__(backbone, optim_conf, label_smoothing)
            self.seq2seq.lm_head.weight = self.seq2seq.embeddings.weight
    """,
    "a head that generate is given": """
        def __init__(self, backbone, optim_conf, label_smoothing=0.1):
            super().__init__(backbone, optim_conf, label_smoothing)
            words, size = self.seq2seq.get_output_embeddings(), self.seq2seq.config.hidden_size
            self.seq2seq.set_output_embeddings(nn.Sequential(nn.Linear(size, size), nn.GELU(), words))
    """,
    "an average of the model": f"""
        def __init__(self, backbone, optim_conf, label_smoothing=0.1):
            super().__init__(backbone, optim_conf, label_smoothing)
            self.average = copy.deepcopy(self.seq2seq).requires_grad_(False)

        def infer(self, batch):
            return GenerationOutput(sequences=self.average.generate({CALLED}))
    """,
    "one of several heads": """
        def __init__(self, backbone, optim_conf, label_smoothing=0.1):
            super().__init__(backbone, optim_conf, label_smoothing)
            self.heads = nn.ModuleList(copy.deepcopy(self.seq2seq.lm_head) for _ in range(2))

        def forward(self, input_ids, attention_mask, labels=None):
            self.seq2seq.set_output_embeddings(nn.Identity())
            given = decoder_inputs(self.seq2seq, labels, len(input_ids))
            hidden = self.seq2seq(input_ids, attention_mask, given).logits
            return self.predict_tokens((self.heads[0](hidden) + self.heads[1](hidden)) / 2, labels)

        def infer(self, batch):
            self.seq2seq.set_output_embeddings(self.heads[0])
            return generate(self.seq2seq, batch, self.context)
    """,
}
OWN_SOUND = {
    "tokens that are drawn": """
        def chosen(self, logits):
            return torch.multinomial((logits[:, -1] / 9).softmax(dim=-1), 1)
    """,
    "candidates that begin with the start": """
        def infer(self, batch):
            found = super().infer(batch).sequences
            found = torch.cat([torch.full_like(found[:, :1], self.start), found], dim=1)
            return GenerationOutput(sequences=found.repeat_interleave(2, dim=0))
    """,
    "texts of its own": """
        def infer(self, batch):
            return ["a text"] * len(batch["input_ids"])

        @classmethod
        def decode(cls, output, batch, context):
            return output
    """,
}
WRONG = {
    "the least likely token": """
        def chosen(self, logits):
            return logits[:, -1:].argmin(dim=-1)
    """,
    "the same token again and again": """
        def infer(self, batch):
            found = super().infer(batch).sequences
            return GenerationOutput(sequences=found[:, :1].expand(-1, 6))
    """,
}


@pytest.fixture
def findings(project_of):
    """Write a model below another one, and return what the rule finds in it."""

    def check(base, body):
        folder = project_of("text-generator")
        text = f"{HEAD}class Other({base}):\n{indent(dedent(body).strip(chr(10)), '    ')}\n"
        (folder / "mymodel" / "other.py").write_text(text, encoding="utf-8")
        report = check_path(folder, only=["infer-differs"], overrides=["model._target_=mymodel.other.Other"])
        assert report.not_checked == ()
        return report.findings

    return check


@pytest.mark.parametrize("name", SOUND)
def test_what_generate_may_do_is_sound(name, findings):
    assert findings("Mymodel", SOUND[name]) == ()


@pytest.mark.parametrize("name", OWN_SOUND)
def test_what_a_decoder_of_ones_own_may_do_is_sound(name, findings):
    assert findings("Own", OWN_SOUND[name]) == ()


@pytest.mark.parametrize("name", WRONG)
def test_a_decoder_of_ones_own_that_does_not_write_what_it_learnt_is_found(name, findings):
    [found] = findings("Own", WRONG[name])
    assert "infer begins none of their texts as forward scores them" in found.message
    assert found.file == "mymodel/other.py"


def test_a_head_that_only_forward_knows_is_named_at_its_line(findings):
    [found] = findings(
        "Mymodel",
        """
        def __init__(self, backbone, optim_conf, label_smoothing=0.1):
            super().__init__(backbone, optim_conf, label_smoothing)
            self.head = copy.deepcopy(self.seq2seq.lm_head)
            self.seq2seq.set_output_embeddings(nn.Identity())

        def forward(self, input_ids, attention_mask, labels=None):
            given = decoder_inputs(self.seq2seq, labels, len(input_ids))
            return self.predict_tokens(self.head(self.seq2seq(input_ids, attention_mask, given).logits), labels)
        """,
    )
    assert found.message == "predictions are made without head, which the scores of forward depend on"
    assert found.line == HEAD.count("\n") + 4
    assert "set_output_embeddings" in found.fix


def test_a_model_that_predicts_what_forward_scores_has_nothing_to_compare(project_of):
    [left_out] = check_path(project_of("sequence-classifier"), only=["infer-differs"]).not_checked
    assert left_out.reason == "its predictions are what forward scores"


def test_a_compiled_part_cannot_be_watched_and_is_left_in_peace(findings):
    body = """
        def __init__(self, context, optim_conf, label_smoothing=0.0):
            super().__init__(context, optim_conf, label_smoothing)
            self.head = torch.jit.script(self.head)
    """
    assert findings("Own", body) == ()


CLASSIFIER = '''\
"""Another classifier of the project."""

import torch
from torch import nn

from mymodel.model import Mymodel


class Other(Mymodel):
    """Scores and predictions of its own."""

    def __init__(self, backbone, vocabulary, optim_conf, num_labels, **options):
        super().__init__(backbone=backbone, vocabulary=vocabulary, optim_conf=optim_conf, num_labels=num_labels)
        size = self.encoder.config.hidden_size
        self.short, self.long = nn.Linear(size, num_labels), nn.Linear(size, num_labels)
        self.temperature = nn.Parameter(torch.ones(1))
        self.scale = nn.Parameter(torch.ones(num_labels))

    def states(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state[:, 0]

    def forward(self, input_ids, attention_mask, labels=None):
        return self.classify(SCORED, labels)

    def batch_predict(self, input_ids, attention_mask, samples, **batch):
        for sample, index in zip(samples, (PREDICTED).argmax(dim=-1).tolist(), strict=True):
            yield sample, self.vocabulary.element("labels", index)
'''
STATES = "self.states(input_ids, attention_mask)"
BY_LENGTH = f"torch.where(attention_mask.sum(1)[:, None] > 4, self.long({STATES}), self.short({STATES}))"
CHOSEN = (
    f"torch.stack([(self.long if mask.sum() > least else self.short)(state) "
    f"for least in [attention_mask.sum(1).float().mean()] for state, mask in zip({STATES}, attention_mask)])"
)
ALIKE = {
    "a temperature that argmax needs not": (f"self.short({STATES}) * self.temperature", f"self.short({STATES})"),
    "numbers that are read": (
        f"self.short({STATES}) * self.scale",
        f"self.short({STATES}) * torch.tensor(self.scale.tolist())",
    ),
    "a head for long texts": (BY_LENGTH, CHOSEN),
}


@pytest.fixture
def classified(project_of):
    def check(scored, predicted):
        folder = project_of("sequence-classifier")
        text = CLASSIFIER.replace("SCORED", scored).replace("PREDICTED", predicted)
        (folder / "mymodel" / "other.py").write_text(text, encoding="utf-8")
        report = check_path(folder, only=["infer-differs"], overrides=["model._target_=mymodel.other.Other"])
        assert report.not_checked == ()
        return [found.measured for found in report.findings]

    return check


@pytest.mark.parametrize("name", ALIKE)
def test_a_classifier_may_predict_in_its_own_way(name, classified):
    assert classified(*ALIKE[name]) == []


def test_a_factor_of_each_label_that_predictions_lack_is_found(classified):
    assert classified(f"self.short({STATES}) * self.scale", f"self.short({STATES})") == ["scale"]

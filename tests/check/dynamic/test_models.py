"""What the dynamic half makes of models that it is handed: lone classes, callables, large ones, and what cannot run."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from scaffold.check import check_model
from scaffold.check.dynamic._examples import CLASSIFIER, LANGUAGE_MODEL, LIGHTNING, changed
from scaffold.check.rule import rule_ids
from scaffold.errors import UsageError

DYNAMIC = rule_ids("dynamic")


class Bag(nn.Module):
    """The mean of the embeddings, and a head."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 3)

    def forward(self, input_ids, attention_mask, labels=None):
        vectors = self.embedding(input_ids) * attention_mask.unsqueeze(-1)
        logits = self.head(vectors.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True))
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}


def rules(report, *severities):
    return {found.rule for found in report.findings if not severities or found.severity in severities}


def reasons(report):
    return {item.rule: item.reason for item in report.not_checked}


def test_a_callable_and_a_module_are_checked_alike():
    assert rules(check_model(Bag, task="sequence")) == rules(check_model(Bag(), task="sequence")) == set()


def test_the_module_that_is_handed_over_is_left_as_it_was():
    model = Bag()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_model(model, task="sequence")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_random_numbers_go_on_as_if_nothing_had_been_checked():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    check_model(Bag, task="sequence", only=["rows-mix"])
    assert torch.equal(torch.rand(3), expected)


def test_a_rule_that_does_not_exist_is_refused():
    with pytest.raises(UsageError, match="there is no rule 'row-mix'"):
        check_model(Bag, task="sequence", only=["row-mix"])


def test_a_crash_is_one_finding_at_the_persons_own_line(lone):
    report = lone(changed(CLASSIFIER, ("self.head(pooled)", "self.haed(pooled)")), *DYNAMIC)
    [crash] = report.findings
    assert (crash.rule, crash.severity, crash.file) == ("crash", "error", "model.py")
    assert "AttributeError: 'Model' object has no attribute 'haed'" in crash.message
    assert crash.line == CLASSIFIER.splitlines().index("        logits = self.head(pooled)") + 1
    assert "rows-mix" in reasons(report)


def test_a_constructor_that_fails_is_one_finding_and_leaves_the_rest_unchecked(lone):
    report = lone(changed(CLASSIFIER, ("nn.Dropout(0.1)", "nn.Dropout(3)")), *DYNAMIC)
    [crash] = report.findings
    assert crash.message.startswith("__init__ failed: ValueError: dropout probability")
    assert set(reasons(report)) == set(DYNAMIC) - {"crash"}


def test_a_file_that_cannot_be_imported_is_a_finding_at_its_line(lone):
    [crash] = lone("import no_such_package\n" + CLASSIFIER, *DYNAMIC).findings
    assert (crash.rule, crash.line) == ("crash", 1)


def test_an_argument_that_cannot_be_guessed_is_asked_for(lone):
    report = lone(changed(CLASSIFIER, ("num_labels=3)", "num_labels=3, *, recipe)")), *DYNAMIC)
    [found] = report.findings
    assert "needs recipe" in found.message
    assert found.fix == "add --init recipe=…"
    assert set(reasons(report)) == set(DYNAMIC) - {"crash"}


def test_what_a_name_says_clearly_is_guessed_and_init_comes_first(lone):
    source = changed(CLASSIFIER, ("vocabulary_size=50, hidden_size=32, num_labels=3", "vocab_size, dim, num_labels"))
    source = source.replace("vocabulary_size, hidden_size", "vocab_size, dim").replace("hidden_size, num", "dim, num")
    assert lone(source, *DYNAMIC).findings == ()
    assert lone(source, *DYNAMIC, num_labels=2).findings == ()


def test_a_method_that_is_not_written_is_raised_for_the_test_to_skip(lone):
    class Stub(nn.Module):
        def __init__(self):
            super().__init__()
            raise NotImplementedError("must make the layers")

    with pytest.raises(NotImplementedError, match="must make the layers"):
        check_model(Stub, task="sequence")


def test_the_same_class_name_in_another_file_is_another_class(lone, tmp_path):
    assert lone(CLASSIFIER, "crash").findings == ()
    assert lone(changed(CLASSIFIER, ("self.head(pooled)", "self.haed(pooled)")), "crash").findings


def test_a_model_without_targets_in_forward_says_what_it_lacks(lone):
    source = changed(
        CLASSIFIER, (", labels=None", ""), ("None if labels is None else F.cross_entropy(logits, labels)", "None")
    )
    assert "output-shape" in rules(lone(source, *DYNAMIC))


BARE = changed(
    CLASSIFIER,
    (", labels=None", ""),
    ("None if labels is None else F.cross_entropy(logits, labels)", "None"),
    ('return {"logits": logits, "loss": loss}', "return logits"),
)


def test_a_class_that_returns_its_logits_alone_is_checked_with_cross_entropy(lone):
    report = lone(BARE, *DYNAMIC)
    assert [(found.rule, found.severity) for found in report.findings] == [("output-shape", "note")]
    assert "forward returns logits alone, without a loss" in report.findings[0].message
    assert {"cannot-learn", "dead-parameter", "padding", "loss-start"} <= set(report.checked)


@pytest.mark.parametrize(
    "mistake, rule",
    [
        (("return logits", "return logits.softmax(-1)"), "double-softmax"),
        (("return logits", "return logits.detach()"), "loss-detached"),
        (("return logits", "return (logits,)"), None),
        (("return logits", 'return {"logits": logits}'), None),
    ],
)
def test_what_is_wrong_with_bare_logits_is_found(lone, mistake, rule):
    found = {one.rule for one in lone(changed(BARE, mistake), *DYNAMIC).findings if one.severity == "error"}
    assert rule in found if rule else not found


def test_a_tuple_of_loss_and_logits_is_read_by_their_shapes(lone):
    for returned in ("(logits, loss)", "(loss, logits)"):
        report = lone(
            changed(CLASSIFIER, ('{"logits": logits, "loss": loss}', returned)), "output-shape", "cannot-learn"
        )
        assert [(found.rule, found.severity) for found in report.findings] == [("output-shape", "note")]


def test_a_loss_that_is_forgotten_is_an_error_although_the_checks_go_on(lone):
    report = lone(changed(CLASSIFIER, (', "loss": loss}', "}")), *DYNAMIC)
    assert [(found.rule, found.severity) for found in report.findings] == [("output-shape", "error")]


def test_a_part_that_a_library_made_and_nobody_uses_is_a_warning(lone):
    source = """
    from torch import nn
    from torch.nn import functional as F
    from transformers import BertConfig, BertModel


    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
            self.encoder = BertModel(BertConfig(vocab_size=40, **sizes))
            self.own = nn.Linear(16, 16)
            self.head = nn.Linear(16, 3)

        def forward(self, input_ids, attention_mask, labels=None):
            logits = self.head(self.encoder(input_ids, attention_mask).last_hidden_state[:, 0])
            return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}
    """
    found = {one.severity: one for one in lone(source, "dead-parameter").findings}
    assert "encoder.pooler.dense.weight" in found["warning"].measured
    assert "add_pooling_layer=False" in found["warning"].fix
    assert found["error"].measured == ["own.weight", "own.bias"]


def test_one_mistake_is_not_told_by_a_second_rule(lone):
    detached = changed(
        CLASSIFIER, ("F.cross_entropy(logits, labels)", "F.cross_entropy(logits, labels).detach().requires_grad_()")
    )
    assert {found.rule for found in lone(detached, "loss-detached", "not-in-optimizer", "in-place").findings} == {
        "loss-detached"
    }
    shifted = changed(LANGUAGE_MODEL, ("logits[:, :-1].flatten(0, 1), labels[:, 1:]", "logits.flatten(0, 1), labels"))
    assert rules(lone(shifted, "label-shift", "cannot-learn", task="language-model")) == {"label-shift"}
    no_number = changed(
        CLASSIFIER, ("F.cross_entropy(logits, labels)", "F.cross_entropy(logits, labels) * float('nan')")
    )
    assert "in-place" not in rules(lone(no_number, "loss-finite", "in-place"))


def test_steps_that_a_lightning_module_lacks_are_not_run(lone):
    source = LIGHTNING[: LIGHTNING.index("    def test_step")] + LIGHTNING[LIGHTNING.index("    def configure") :]
    assert lone(source, *DYNAMIC).findings == ()


def test_an_output_with_named_fields_may_be_a_tuple(lone):
    source = changed(
        CLASSIFIER,
        ("from torch import nn", "from typing import Any, NamedTuple\n\nfrom torch import nn"),
        ("class Model", "class Output(NamedTuple):\n    logits: Any\n    loss: Any\n\n\nclass Model"),
        ('{"logits": logits, "loss": loss}', "Output(logits, loss)"),
    )
    assert lone(source, "output-shape").findings == ()


BILLION = """
import torch
from torch import nn
from torch.nn import functional as F


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(60_000, 4096)
        self.layers = nn.ModuleList(nn.TransformerEncoderLayer(4096, 32, 16384, batch_first=True) for _ in range(4))
        self.head = nn.Linear(4096, 3)

    def forward(self, input_ids, attention_mask, labels=None):
        hidden = self.embedding(input_ids)
        for layer in self.layers:
            hidden = layer(hidden, src_key_padding_mask=attention_mask == 0)
        logits = self.head(POOLED)
        return {"logits": logits, "loss": None if labels is None else F.cross_entropy(logits, labels)}
"""


def test_a_billion_parameters_are_checked_for_shapes_alone(lone):
    report = lone(BILLION.replace("POOLED", "hidden.mean(dim=1)"), *DYNAMIC)
    assert report.findings == ()
    assert reasons(report)["rows-mix"] == "the model has 1,051,291,651 parameters: only its shapes are checked"


def test_a_wrong_shape_is_found_in_a_billion_parameters_within_two_gigabytes(tmp_path):
    (tmp_path / "model.py").write_text(BILLION.replace("POOLED", "hidden"), encoding="utf-8")
    code = (
        "import resource\nfrom scaffold.check import check_path\n"
        f"report = check_path({str(tmp_path / 'model.py:Model')!r}, task='sequence')\n"
        "print([found.rule for found in report.findings], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    found, kilobytes = result.stdout.rsplit(" ", 1)
    assert found == "['output-shape']"
    assert int(kilobytes) < 2_000_000


def test_a_small_model_runs_on_one_thread_and_the_others_are_given_back():
    seen = set()

    class Watched(Bag):
        def forward(self, *arguments, **batch):
            seen.add(torch.get_num_threads())
            return super().forward(*arguments, **batch)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        check_model(Watched, only=["rows-mix"])
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert 1 in seen

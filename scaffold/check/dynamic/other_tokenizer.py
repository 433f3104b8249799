"""Loaded models that read the ids of a tokenizer that is not theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scaffold.check.dynamic._examples import PROJECT_MODEL, changed
from scaffold.check.finding import Finding, Inapplicable
from scaffold.check.rule import Rule

if TYPE_CHECKING:
    from scaffold.check.probe import Probe

LOADED = """\
sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
        config = BertConfig(name_or_path="bert-base-uncased", vocab_size=30522, **sizes)
        self.encoder = BertModel(config, add_pooling_layer=False)  # as from_pretrained makes it, in small
"""


def find(probe: Probe) -> Iterator[Finding]:
    """Yield a table that is not for the tokenizer whose ids are looked up in it."""
    from scaffold.check.probe_tokenizer import misfit_of

    found = misfit_of(probe)
    if found is not None:
        measured = {"rows": found.rows, "pieces": found.pieces}
        yield RULE.finding(str(found), measured=measured, fix=found.fix, **probe.places.layer(found.part))


def _applies(probe: Probe) -> str | None:
    return Inapplicable("a model without data has no tokenizer") if probe.given.data is None else None


RULE = Rule(
    id="other-tokenizer",
    severity="error",
    title="A model that is loaded by its name reads the ids of another tokenizer.",
    why=(
        "The same id stands for another piece: what the model has learnt counts for nothing, and it trains all the "
        "same. Ids beyond its table end in an IndexError."
    ),
    fix="Set backbone=pretrained and backbone.name to the same name, or make the encoder with backbone.build().",
    example=changed(
        PROJECT_MODEL,
        (
            "from torch import Tensor, nn\n",
            "from torch import Tensor, nn\nfrom transformers import BertConfig, BertModel\n",
        ),
        ("self.encoder = backbone.build()\n", LOADED),
    ),
    instead=PROJECT_MODEL,
    find=find,
    applies=_applies,
    task=None,
)

"""Odd but right models, and the models of transformers for the tasks that they serve, are left in peace."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

SOUND = Path(__file__).parent / "sound"


def odd_models() -> list[Any]:
    """Return file, class and task of every model in `sound/`; a file is named after its task."""
    found = []
    for path in sorted(SOUND.glob("*.py")):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = [node.name for node in body if isinstance(node, ast.ClassDef) and node.bases]
        found += [pytest.param(path, name, path.stem.replace("_", "-"), id=f"{path.stem}-{name}") for name in names]
    return found


@pytest.mark.parametrize("path, name, task", odd_models())
def test_an_odd_but_right_model_has_neither_errors_nor_warnings(path, name, task, check):
    found = check(path, "--task", task, name=name)
    assert not found.rules("error", "warning"), str(found)


TINY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = TINY | {"vocab_size": 60, "num_labels": 4}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SMALL_T5 = {"vocab_size": 60, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_heads": 2, "decoder_start_token_id": 0}
SMALL_BART = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "num_labels": 4,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "Bert": TEXT,
    "Roberta": TEXT | {"max_position_embeddings": 130},
    "DistilBert": {"vocab_size": 60, "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "num_labels": 4},
    "Electra": TEXT | {"embedding_size": 12},
    "DebertaV2": TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "Albert": TEXT | {"embedding_size": 12},
    "GPT2": {
        "vocab_size": 60,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 2,
        "num_labels": 4,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "Llama": TEXT | SPECIAL | {"num_key_value_heads": 1},
    "T5": SMALL_T5,
    "Bart": SMALL_BART,
    "ViT": TINY | {"image_size": 32, "patch_size": 8, "num_labels": 4},
    "ResNet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic", "num_labels": 4},
}
SERVED = {
    "sequence": "ForSequenceClassification: Bert Roberta DistilBert Electra DebertaV2 Albert GPT2 Llama",
    "sentence-pair": "ForSequenceClassification: Bert Electra Albert",
    "tokens": "ForTokenClassification: Bert Roberta DistilBert Electra DebertaV2 Albert GPT2",
    "qa": "ForQuestionAnswering: Bert Roberta DistilBert DebertaV2 Bart",
    "language-model": "LMHeadModel: GPT2, ForCausalLM: Llama",
    "generation": "ForConditionalGeneration: T5 Bart",
    "image": "ForImageClassification: ViT ResNet",
}


def served() -> list[Any]:
    """Return architecture, class and task of every model of transformers that is checked."""
    pairs = [(task, part.split(": ")) for task, parts in SERVED.items() for part in parts.split(", ")]
    return [(name, name + suffix, task) for task, (suffix, names) in pairs for name in names.split()]


@pytest.mark.parametrize("name, model, task", served())
def test_a_model_of_transformers_has_neither_errors_nor_warnings(name, model, task):
    import transformers

    from scaffold.check import check_model

    settings = CONFIGS[name] | ({"num_labels": 2} if task == "qa" else {})
    config = getattr(transformers, f"{name}Config")(**settings)
    report = check_model(lambda: getattr(transformers, model)(config), task=task)
    assert "rule itself failed" not in str(report.not_checked)
    assert not [found for found in report.findings if found.severity != "note"], report

"""Tokenizers as plain data, and the byte-level BPE that is trained on a project's own texts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from scaffold.errors import ArtefactError, DataError, EnvironmentFault, shown

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
MOST_TEXTS = 200_000
MIN_FREQUENCY = 2


def train_tokenizer(texts: Iterable[str], vocabulary_size: int = 8000) -> PreTrainedTokenizerFast:
    """Train a cased byte-level BPE on at most 200,000 texts; the same texts give the same ids in every process."""
    backend = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS["unk_token"]))
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        special_tokens=list(SPECIAL_TOKENS.values()),
        # unsorted, the alphabet's ids would follow a hash seed that is new in every process
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    chosen = iter(_sample(texts, MOST_TEXTS))
    first = next(chosen, None)
    if first is None:
        raise DataError("there is no text to train a tokenizer on", fix="give the training file at least one row")
    backend.train_from_iterator(chain([first], chosen), trainer)
    backend.post_processor = _specials_around(backend)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **SPECIAL_TOKENS,
    )


def _sample(texts: Iterable[str], limit: int) -> Iterable[str]:
    """Return at most `limit` texts: evenly spaced ones of a sequence, the first ones of a stream."""
    if isinstance(texts, Sequence) and len(texts) > limit:
        step = -(-len(texts) // limit)
        return (texts[index] for index in range(0, len(texts), step))
    return islice(texts, limit)


def _specials_around(backend: Tokenizer) -> processors.PostProcessor:
    """Return what writes `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]`, and keeps leading spaces out of spans."""
    names = ("[CLS]", "[SEP]")
    template = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, backend.token_to_id(name)) for name in names],
    )
    return processors.Sequence([processors.ByteLevel(trim_offsets=True), template])


def processor_state(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """Return the tokenizer as plain data: its class and the texts of the files that it saves."""
    name = type(tokenizer).__name__
    _tokenizer_class(name)
    # what the last call asked for is no part of the tokenizer
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(Path(folder).iterdir())}
    return {"class": name, "files": files}


def processor_from_state(state: Mapping[str, Any]) -> PreTrainedTokenizerFast:
    """Rebuild a tokenizer from `processor_state`, without a network and without the folder that it came from."""
    tokenizer_class = _tokenizer_class(state["class"])
    with tempfile.TemporaryDirectory() as folder:
        for name, text in state["files"].items():
            if Path(name).name != name:
                raise ArtefactError(
                    "the stored tokenizer is unsafe to load",
                    because=f"it would write to {shown(name)}",
                    fix="use a checkpoint that you trust",
                )
            (Path(folder) / name).write_text(text, encoding="utf-8")
        tokenizer = tokenizer_class.from_pretrained(folder)
    for trace in ("name_or_path", "is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(trace, None)
    return tokenizer


def _tokenizer_class(name: object) -> type[PreTrainedTokenizerFast]:
    found = getattr(transformers, name, None) if isinstance(name, str) else None
    if isinstance(found, type) and issubclass(found, PreTrainedTokenizerFast):
        return found
    raise EnvironmentFault(
        f"a tokenizer of class {shown(name)} cannot be kept in a checkpoint",
        because="this transformers has no fast tokenizer class of that name",
        fix="use the transformers version of the run's manifest.json, or a tokenizer class that transformers has",
    )

"""Text to text: targets as ids, what a decoder begins with, and how texts are written and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from scaffold.errors import nearest, shown
from scaffold.runtime.config.settings import Natural, Positive, Range, described, fits
from scaffold.runtime.contracts import IGNORED
from scaffold.runtime.outputs import GenerationOutput
from scaffold.runtime.samples import BadRow
from scaffold.runtime.task import Context, Prediction

if TYPE_CHECKING:
    from scaffold.runtime.batch import Batch

SETTINGS = {  # what `generate` itself finds wrong too late, or not at all
    "do_sample": bool,
    "early_stopping": bool | Literal["never"],
    "length_penalty": float,
    "max_length": Positive,
    "max_new_tokens": Positive,
    "min_length": Natural,
    "min_new_tokens": Natural,
    "no_repeat_ngram_size": Natural,
    "num_beams": Positive,
    "num_return_sequences": Positive,
    "repetition_penalty": Annotated[float, Range(0)],
    "temperature": Annotated[float, Range(0)],
    "top_k": Natural,
    "top_p": Annotated[float, Range(0, 1)],
    "use_cache": bool,
}
LANGUAGES = ("src_lang", "tgt_lang")


def encode_target(tokenizer: Any, text: str, *, max_length: int) -> dict[str, Any]:
    """Return the ids of a target as `labels`, cut to `max_length` tokens; `truncated` where something was cut."""
    found = tokenizer(text_target=text, verbose=False)["input_ids"]
    cut = len(found) > max_length
    if cut:
        found = tokenizer(text_target=text, truncation=True, max_length=max_length)["input_ids"]
    if tokenizer.bos_token_id is None and found and found[0] == tokenizer.cls_token_id:
        found = found[1:]  # the decoder begins with it: there is nothing to learn
    return {"labels": found, "truncated": True} if cut else {"labels": found}


def set_languages(tokenizer: Any, source: str | None, target: str | None) -> None:
    """Tell a multilingual tokenizer what it reads and writes next; BadRow where it knows no such language.

    None stands for the language that the tokenizer came with, whatever an earlier row has set.
    """
    for name, asked in zip(LANGUAGES, (source, target), strict=True):
        own = tokenizer.init_kwargs.setdefault(name, getattr(tokenizer, name)) if hasattr(tokenizer, name) else None
        code = asked or own
        if code is None or getattr(tokenizer, name, None) == code:
            continue
        if not hasattr(tokenizer, name):
            raise BadRow(f"expected no language, as the tokenizer of this backbone has none, got {shown(code)}")
        if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id):
            near = nearest(code, tokenizer.all_special_tokens)
            hint = f"; did you mean {shown(near)}?" if near else ""
            raise BadRow(f"{shown(code)} is no language of this backbone's tokenizer{hint}")
        setattr(tokenizer, name, code)


def shift_right(labels: Tensor, config: Any) -> Tensor:
    """Return what the decoder is given when it must say the labels: a start token, then all of them but the last."""
    shifted = labels.roll(1, dims=1)
    shifted[:, 0] = config.decoder_start_token_id
    return shifted.masked_fill(shifted == IGNORED, config.pad_token_id)


def decoder_inputs(model: Any, labels: Tensor | None, rows: int = 1) -> Tensor:
    """Return what the decoder is given to say the labels, (rows, target length); without any, its start (rows, 1)."""
    if labels is None:
        return torch.full((rows, 1), model.config.decoder_start_token_id, device=model.device)
    prepare = getattr(model, "prepare_decoder_input_ids_from_labels", None)
    return shift_right(labels, model.config) if prepare is None else prepare(labels)


def generate(model: Any, batch: Batch, context: Context) -> GenerationOutput:
    """Write targets for the rows of a batch with the `generate` of transformers, as the task's options say.

    The options are `generation` (arguments of `generate`), `seed` (of sampling) and `target_language`.
    """
    options, settings = context.options, dict(context.options.generation)
    languages = [getattr(sample, "target_language", None) or options.target_language for sample in batch.samples]
    begun = {code: _beginning(model, context.processor, code) for code in set(languages)}
    beginnings = torch.stack([begun[code] for code in languages]).to(model.device)
    with torch.random.fork_rng(enabled=bool(settings.get("do_sample"))):
        if settings.get("do_sample"):
            torch.manual_seed(options.seed)
        written = model.generate(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=beginnings,
            **settings,
        )
    return GenerationOutput(sequences=written[:, beginnings.shape[1] :])


def decode_texts(sequences: Tensor, rows: int, tokenizer: Any) -> list[Prediction]:
    """Return the text of each row, and all its candidates where several were written: (rows * candidates, length)."""
    texts = [text.strip() for text in tokenizer.batch_decode(sequences, skip_special_tokens=True)]
    size = len(texts) // rows
    groups = [texts[start : start + size] for start in range(0, len(texts), size)]
    return [Prediction(group[0], candidates=group if size > 1 else None) for group in groups]


def check_generation(settings: Mapping[str, Any]) -> None:
    """Raise ValueError for settings that `generate` does not take, or that cannot be."""
    from transformers import GenerationConfig  # here, as its module is not needed to read other options

    known = [name for name in GenerationConfig().to_dict() if not name.startswith("_")]
    for name in settings:
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"generate takes no {shown(name)}" + (f"; did you mean {near}?" if near else ""))
    for name, hint in SETTINGS.items():
        if not fits(settings.get(name), hint | None):
            raise ValueError(f"expected generation.{name} to be {described(hint)}, got {shown(settings[name])}")
    if settings.get("do_sample") and settings.get("temperature") == 0:
        raise ValueError("expected a generation.temperature above 0 with do_sample, got 0; leave do_sample out instead")
    beams, wanted = settings.get("num_beams") or 1, settings.get("num_return_sequences") or 1
    if wanted > beams and not settings.get("do_sample"):
        raise ValueError(f"expected num_return_sequences of at most num_beams, or do_sample, got {wanted} and {beams}")


def _beginning(model: Any, tokenizer: Any, language: str | None) -> Tensor:
    """Return what the decoder is given before the first token of a text: its start, and the language where one is."""
    set_languages(tokenizer, None, language)
    labels = encode_target(tokenizer, "", max_length=8)["labels"]
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end not in labels:
        return decoder_inputs(model, None)[0]
    return decoder_inputs(model, torch.tensor([labels], device=model.device))[0, : labels.index(end) + 1]

"""Text to text: targets as ids, what a decoder begins with, and how texts are written and measured."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from torch import Tensor

from scaffold.errors import ConfigError, ModelError, Where, nearest, shown
from scaffold.runtime.config.settings import Natural, Positive, Range, described, fits
from scaffold.runtime.contracts import IGNORED
from scaffold.runtime.outputs import GenerationOutput
from scaffold.runtime.samples import BadRow
from scaffold.runtime.task import Context, Prediction

if TYPE_CHECKING:
    from scaffold.runtime.batch import Batch

log = logging.getLogger(__name__)

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
# what transformers leaves to code that it would fetch from the hub, each with the value that asks for nothing
NOT_HERE = {
    "num_beam_groups": 1,
    "diversity_penalty": 0,
    "constraints": None,
    "dola_layers": None,
    "force_words_ids": None,
    "penalty_alpha": 0,
}
LANGUAGES = {"source_language": "src_lang", "target_language": "tgt_lang"}


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

    None stands for the language that the tokenizer came with, whatever an earlier row has set. Of a tokenizer without
    languages nothing is asked, which is said once.
    """
    for name, asked in zip(LANGUAGES.values(), (source, target), strict=True):
        if not hasattr(tokenizer, name):
            if asked:
                _tell_no_languages()
            continue
        own = tokenizer.init_kwargs.setdefault(name, getattr(tokenizer, name))
        code = asked or own
        if code is None or getattr(tokenizer, name) == code:
            continue
        if tokenizer.convert_tokens_to_ids(code) in (None, tokenizer.unk_token_id):
            near = nearest(code, tokenizer.all_special_tokens)
            hint = f"; did you mean {shown(near)}?" if near else ""
            raise BadRow(f"{shown(code)} is no language of this backbone's tokenizer{hint}")
        setattr(tokenizer, name, code)


def check_languages(tokenizer: Any, options: Any) -> None:
    """Raise ConfigError where the options name a language and the tokenizer has none."""
    for option, name in LANGUAGES.items():
        code = getattr(options, option, None)
        if code and not hasattr(tokenizer, name):
            raise ConfigError(
                f"task.{option} cannot be {shown(code)}",
                because="the tokenizer of this backbone has no languages",
                fix="leave it out, or take a multilingual backbone, such as mBART-50 or NLLB",
                where=Where(key=f"task.{option}"),
                code="config.value",
            )


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

    The options are `generation` (arguments of `generate`), `seed` (of sampling) and `target_language`. A plain dict of
    tensors will do for a batch where neither languages nor candidates belong to its rows.
    """
    _check_rows(batch, context)
    options, languages = context.options, _languages(batch, context)
    begun = {code: _beginning(model, context.processor, code) for code in set(languages)}
    beginnings = torch.stack([begun[code] for code in languages]).to(model.device)
    settings = _with_longest(options.generation, beginnings.shape[1])
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
    """Return the text of each row, and all its candidates where several were written: (rows * candidates, length).

    A text is what stands before the token that ends it.
    """
    size, rest = divmod(len(sequences), rows)
    if rest or not size:
        raise ModelError(
            f"infer wrote {len(sequences)} texts for {rows} rows",
            because="expected sequences of (rows * candidates, length), the candidates of a row together",
            fix="return as many for each row of the batch",
        )
    ended = _ended(sequences, tokenizer)
    texts = [text.strip() for text in tokenizer.batch_decode(ended, skip_special_tokens=True)]
    groups = [texts[start : start + size] for start in range(0, len(texts), size)]
    return [Prediction(group[0], candidates=group if size > 1 else None) for group in groups]


def tell_unheeded(settings: Mapping[str, Any], candidates: int) -> None:
    """Say once that an `infer` of one's own has not written as many candidates as the settings ask for."""
    wanted = settings.get("num_return_sequences") or 1
    if wanted != candidates:
        _tell_unheeded(wanted, candidates)


def check_generation(settings: Mapping[str, Any]) -> None:
    """Raise ConfigError for settings that `generate` does not take, or that cannot be."""
    from transformers import GenerationConfig  # here, as its module is not needed to read other options

    known = [name for name in GenerationConfig().to_dict() if not name.startswith("_")]
    for name in settings:
        if name not in known:
            near = nearest(name, known)
            fix = f"did you mean {near}?" if near else "leave it out"
            raise _refusal(name, f"generate takes no {shown(name)}", "it is none of its arguments", fix)
    for name, nothing in NOT_HERE.items():
        if settings.get(name) not in (None, nothing):
            because = "transformers does it with code from the hub alone, which is not run here"
            raise _wrong(settings, name, because, "leave it out; do_sample gives varied texts, num_beams likelier ones")
    for name, hint in SETTINGS.items():
        if not fits(settings.get(name), hint | None):
            raise _wrong(settings, name, f"expected {described(hint)}", "set it to such a value")
    _check_together(settings)


def _check_together(settings: Mapping[str, Any]) -> None:
    sampled = settings.get("do_sample")
    if sampled and settings.get("temperature") == 0:
        raise _wrong(settings, "temperature", "expected one above 0 with do_sample", "leave do_sample out instead")
    beams, wanted = settings.get("num_beams") or 1, settings.get("num_return_sequences") or 1
    if wanted > beams and not sampled:
        because = f"expected at most num_beams, which is {beams}, or do_sample"
        raise _wrong(settings, "num_return_sequences", because, f"set task.generation.num_beams={wanted} too")


def _wrong(settings: Mapping[str, Any], name: str, because: str, fix: str) -> ConfigError:
    return _refusal(name, f"task.generation.{name} cannot be {shown(settings[name])}", because, fix)


def _refusal(name: str, what: str, because: str, fix: str) -> ConfigError:
    return ConfigError(what, because=because, fix=fix, where=Where(key=f"task.generation.{name}"), code="config.value")


def _check_rows(batch: Mapping[str, Any], context: Context) -> None:
    """Raise ModelError for a plain dict of tensors where something that is written belongs to a row."""
    needed = {
        "the tokenizer has languages, and each row may name its own": hasattr(context.processor, "tgt_lang"),
        "it writes several candidates for each row": (context.options.generation.get("num_return_sequences") or 1) > 1,
    }
    if not hasattr(batch, "samples") and any(needed.values()):
        raise ModelError(
            "generate has tensors without their rows",
            because=next(because for because, holds in needed.items() if holds),
            fix="hand rows = Batch(batch, samples) to infer, and what it writes with them to self.decode",
        )


def _languages(batch: Batch, context: Context) -> list[str | None]:
    """Return in which language each row is written; None: in that of the tokenizer, which may have none."""
    if not hasattr(context.processor, LANGUAGES["target_language"]):
        return [None] * len(batch["input_ids"])
    default = context.options.target_language
    return [getattr(sample, "target_language", None) or default for sample in batch.samples]


def _with_longest(settings: Mapping[str, Any], begun: int) -> dict[str, Any]:
    """Return arguments of `generate` in which `max_length` counts: it would pass it over beside `max_new_tokens`."""
    found = dict(settings)
    whole = found.pop("max_length", None)
    if whole is not None:
        most = max(1, whole - begun)  # it counts what the decoder begins with, too
        found["max_new_tokens"] = min(most, found.get("max_new_tokens") or most)
    return found


def _ended(sequences: Tensor, tokenizer: Any) -> list[list[int]]:
    """Return the ids of each text up to its end; what a decoder begins with is no end, though it be the same token."""
    end, padding = _end_of(tokenizer), tokenizer.pad_token_id
    found = []
    for ids in sequences.tolist():
        # as a BART does, </s> <s> … or </s> …; an empty text has nothing but padding behind its end
        begun = int(ids[:1] == [end] and (end in ids[1:] or ids[1:2] not in ([], [padding])))
        found.append(ids[: ids.index(end, begun)] if end in ids[begun:] else ids)
    return found


def _end_of(tokenizer: Any) -> int | None:
    return tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id  # type: ignore[no-any-return]


@cache
def _tell_no_languages() -> None:
    log.warning("source_language and target_language are passed over: the tokenizer of this backbone has no languages")


@cache
def _tell_unheeded(wanted: int, candidates: int) -> None:
    message = "infer wrote %d text%s for each row, though task.generation.num_return_sequences is %d: "
    message += "what is in task.generation counts for generate alone, else infer reads it from self.context.options"
    log.warning(message, candidates, "s" if candidates > 1 else "", wanted)


def _beginning(model: Any, tokenizer: Any, language: str | None) -> Tensor:
    """Return what the decoder is given before the first token of a text: its start, and the language where one is."""
    set_languages(tokenizer, None, language)
    labels = encode_target(tokenizer, "", max_length=8)["labels"]
    end = _end_of(tokenizer)
    if end not in labels:
        return decoder_inputs(model, None)[0]
    return decoder_inputs(model, torch.tensor([labels], device=model.device))[0, : labels.index(end) + 1]

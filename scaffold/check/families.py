"""What each family's batches hold, read from the contracts of the runtime without loading it."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Any

from scaffold.check.code import Class, Code, text_of
from scaffold.errors import UsageError, listed, nearest, shown

CONTRACTS = "scaffold.runtime.contracts"
MAKERS = ("Contract", "replace")
_OTHERS = {
    "sequence": "classification classifier text-classification sequence-classification sequence-classifier sentiment "
    "regression encoder multi-label",
    "sentence-pair": "pair pairs nli text-pair sentence-pair-classification sentence-pair-classifier",
    "tokens": "token ner pos tagging token-classification token-classifier named-entity-recognition",
    "qa": "question-answering question-answerer squad extractive-qa",
    "generation": "seq2seq sequence-to-sequence translation summarization summarisation text2text text-generator "
    "encoder-decoder",
    "language-model": "lm clm causal causal-lm gpt language-modeling language-modelling text-generation",
    "masked-language-model": "mlm masked-lm bert fill-mask",
    "image": "vision images image-classification image-classifier",
}
OTHER_NAMES = {name: family for family, names in _OTHERS.items() for name in names.split()}


@dataclass(frozen=True)
class Family:
    """The names of a family's tensors: always there, there with labels, and there with some encoders."""

    name: str = ""
    inputs: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("labels",)
    optional: tuple[str, ...] = ()


def families(code: Code) -> dict[str, Family]:
    """Return every contract of the runtime by the name of its constant, such as SEQUENCE."""
    module = code.module(CONTRACTS)
    found: dict[str, Family] = {}
    for name, node in module.definitions.items() if module else ():
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") in MAKERS:
            found[name] = _read(call, found)
    return found


def family_of(code: Code, model: Class) -> Family | None:
    """Return the family of a task's model, by its `contract`; None where that is not one of the runtime's."""
    found = code.value(model, "contract")
    if found is None:
        return None
    owner, value = found
    home, _, constant = owner.module.full_name(value).rpartition(".")
    if home == CONTRACTS:
        return families(code).get(constant)
    return _read(value, families(code)) if isinstance(value, ast.Call) else None


def named_family(code: Code, task: str | None) -> Family:
    """Return the family that `--task` names.

    Errors: UsageError for a name that none has.
    """
    known = {family.name: family for family in families(code).values()}
    if task in known:
        return known[task]
    near = OTHER_NAMES.get((task or "").lower().replace("_", "-")) or nearest(task or "", known)
    what = "a lone class needs --task" if task is None else f"there is no task {shown(task)}"
    raise UsageError(
        what,
        because=f"there are {listed(sorted(known), 20)}",
        fix=f"did you mean --task {near}?" if near else "--task sequence",
        code="usage.task",
    )


def _read(call: ast.Call, known: dict[str, Family]) -> Family:
    """Return the family that `Contract(…)` or `replace(OTHER, …)` stands for."""
    first = call.args[0] if call.args else None
    base = known.get(getattr(first, "id", ""), Family()) if getattr(call.func, "id", "") == "replace" else Family()
    names = {"family": "name", "inputs": "inputs", "targets": "targets", "optional": "optional"}
    given: dict[str, Any] = {names[word.arg]: _literal(word.value) for word in call.keywords if word.arg in names}
    return replace(base, **given)


def _literal(node: ast.expr) -> str | tuple[str, ...]:
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(text for text in map(text_of, node.elts) if text)
    return text_of(node) or ""

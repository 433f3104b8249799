"""Parameters of `forward` against the tensors of the task's batch, both ways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from scaffold.check.code import RUNTIME, Class, Function, parameters, text_of
from scaffold.check.families import family_of, named_family
from scaffold.check.finding import Finding, NotChecked
from scaffold.check.registered import run_class
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_model
from scaffold.errors import nearest

STEPS = ("training_step", "validation_step", "test_step")
BESIDE = ("samples",)  # what the runtime gives besides tensors, where forward names it


@dataclass
class Keys:
    """The keys of a batch: those that are always there, and those that may be; is_open: there may be others."""

    always: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    is_open: bool = False


def find(source: Source) -> Iterator[Finding | NotChecked]:
    """Yield every parameter that no batch fills, and every key that forward does not take."""
    model = run_class(source)
    found = source.code.method(model, "forward") if model else None
    keys = batch_keys(source) if source.model else None
    if found is None or keys is None:
        yield RULE.not_checked("forward is not in the project" if found is None else "the task's batch cannot be read")
        return
    owner, forward = found
    place = owner.module.at(forward)
    names = [argument.arg for argument in parameters(forward)]
    for name in [] if keys.is_open else _needed(forward):
        if name not in {*keys.always, *keys.maybe, *BESIDE}:
            yield RULE.finding(_unfilled(name, keys), measured=name, fix=_near(name, keys.always - {*names}), **place)
    if source.is_project and forward.args.kwarg is None and not _steps_are_own(source):
        for name in sorted(keys.always - {*names}):
            yield RULE.finding(f"forward does not take {name}, which every batch has", measured=name, **place)


def batch_keys(source: Source) -> Keys | None:
    """Return what the batches of the task hold: what its family promises, and what `collate` adds or removes."""
    assert source.model is not None
    if not source.is_project:
        family = named_family(source.code, source.task)
        return Keys({*family.inputs, *family.targets}, {*family.optional})
    contract, collate = family_of(source.code, source.model), source.code.method(source.model, "collate")
    if contract is None:
        return None
    promised = {*contract.inputs, *contract.targets}
    if collate is None or collate[0].name.startswith(f"{RUNTIME}."):  # which makes what its family promises
        return Keys(promised, {*contract.optional})
    made = promised & _mentioned(collate[1])
    keys = Keys(made, {*contract.optional, *(promised - made)})
    _read_collate(collate[1], keys)
    return keys


def _mentioned(collate: Function) -> set[str]:
    """Return the keys that `collate` names, and those that `pad_inputs` makes for it."""
    named = {text for node in ast.walk(collate) if (text := text_of(node))}
    pads = any(isinstance(node, ast.Name) and node.id == "pad_inputs" for node in ast.walk(collate))
    return named | ({"input_ids", "attention_mask"} if pads else set())


def _read_collate(collate: Function, keys: Keys) -> None:
    """Add the keys that `collate` writes into a batch, and take away those that it removes."""
    for node in ast.walk(collate):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            _add(text_of(node.slice), keys)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Del):
            keys.always.discard(text_of(node.slice) or "")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "pop":
            keys.always.discard(text_of(node.args[0]) or "" if node.args else "")
        elif isinstance(node, ast.Return):
            for key in _returned_keys(node.value):
                _add(text_of(key), keys)
        elif isinstance(node, ast.Dict):  # which may be put into the batch later
            keys.maybe.update(text for key in node.keys if (text := text_of(key)))


def _returned_keys(value: ast.expr | None) -> Iterator[ast.expr]:
    """Yield the keys that an expression such as `known | {"more": …}` writes down."""
    if isinstance(value, ast.BinOp):
        yield from _returned_keys(value.left)
        yield from _returned_keys(value.right)
    elif isinstance(value, ast.Dict):
        yield from (key for key in value.keys if key is not None)  # `**other` repeats keys that are known


def _add(key: str | None, keys: Keys) -> None:
    if key is None:
        keys.is_open = True
    else:
        keys.always.add(key)


def _needed(forward: Function) -> list[str]:
    """Return the parameters without a default."""
    named = [*forward.args.posonlyargs, *forward.args.args]
    needed = named[1 : len(named) - len(forward.args.defaults)]
    only = zip(forward.args.kwonlyargs, forward.args.kw_defaults, strict=True)
    return [argument.arg for argument in [*needed, *(one for one, default in only if default is None)]]


def _steps_are_own(source: Source) -> bool:
    """Return whether the model calls forward in its own way in every step."""
    model = source.model
    return isinstance(model, Class) and all(
        (found := source.code.method(model, step)) and found[0].module in source.modules for step in STEPS
    )


def _unfilled(name: str, keys: Keys) -> str:
    return f"forward needs {name}, which no batch has; a batch has {', '.join(sorted(keys.always))}"


def _near(name: str, free: set[str]) -> str | None:
    near = nearest(name, sorted(free))
    return f"Did you mean {near}?" if near else None


RULE = Rule(
    id="forward-keys",
    severity="error",
    title="The parameters of forward are not the tensors of a batch.",
    why="A batch is handed to forward by keyword: a name too many or too few is a TypeError in the first step.",
    fix="Give forward exactly the keys of the batch, labels with the default None; or let `collate` make them.",
    example="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, tokens: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.embedding(tokens))
""",
    instead="""\
from torch import Tensor, nn


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.head(self.embedding(input_ids, per_sample_weights=attention_mask.float()))
""",
    find=find,
    applies=needs_model,
    composed=True,
)

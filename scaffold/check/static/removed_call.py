"""Names and arguments that today's transformers, torchmetrics and Lightning no longer have."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from scaffold.check import removed
from scaffold.check.code import Module, text_of
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.source import Source

FLAT = ("torchmetrics.functional", "torchmetrics", "transformers")  # packages whose modules offer all at their top too


def find(source: Source) -> Iterator[Finding]:
    """Yield every use of what is gone, each with what does its work now."""
    own = {function.name for module in source.modules for function in module.functions()}
    for module in source.modules:
        for node, what, instead in _uses(module, own):
            fix = f"Use {instead}."
            yield RULE.finding(what, measured=ast.unparse(node)[:80], fix=fix, **module.at(node))


def _uses(module: Module, own: set[str]) -> Iterator[tuple[ast.expr | ast.stmt, str, str]]:
    guarded = set(_guarded(module))
    for node in module.nodes:
        if node in guarded:
            continue
        if isinstance(node, ast.ImportFrom):
            for name in map(current, (f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names))):
                if name in removed.NAMES:
                    yield node, f"there is no {name} any more", removed.NAMES[name]
        elif isinstance(node, ast.Attribute) and current(module.full_name(node)) in removed.NAMES:
            name = current(module.full_name(node))
            yield node, f"there is no {name} any more", removed.NAMES[name]
        elif isinstance(node, ast.Call):
            yield from ((node, what, instead) for what, instead in _of_call(module, node, own))


def current(name: str) -> str:
    """Return the one spelling of names that packages offer in several places."""
    for package in FLAT:
        if name.startswith(f"{package}."):
            return f"{package}.{name.rpartition('.')[2]}"
    name = name.replace("pytorch_lightning.", "lightning.pytorch.", 1)
    return "lightning.pytorch.Trainer" if name == "lightning.Trainer" else name


def _of_call(module: Module, call: ast.Call, own: set[str]) -> Iterator[tuple[str, str]]:
    name = current(module.full_name(call.func))
    gone = removed.ARGUMENTS.get(name, {})
    for word in call.keywords:
        if word.arg in gone:
            yield f"{name} has no argument {word.arg} any more", gone[word.arg]
    if name == "transformers.pipeline" and call.args and text_of(call.args[0]) in removed.PIPELINES:
        yield f"there is no pipeline for {text_of(call.args[0])} any more", "the model and its tokenizer themselves"
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if method in removed.METHODS and method not in own:
        yield f"tokenizers have no {method} any more", removed.METHODS[method]
    yield from _of_metric(name, call)


def _of_metric(name: str, call: ast.Call) -> Iterator[tuple[str, str]]:
    """Yield what a classification metric lacks: `task`, and the number of classes or labels."""
    home, _, last = name.rpartition(".")
    is_metric = home == "torchmetrics" and last in removed.METRICS
    is_function = home == "torchmetrics.functional" and last in removed.METRIC_FUNCTIONS
    position = 0 if is_metric else 2
    given = {word.arg: word.value for word in call.keywords}
    is_unknown = None in given or any(isinstance(argument, ast.Starred) for argument in call.args)
    if not (is_metric or is_function) or is_unknown:
        return
    task = given.get("task", call.args[position] if len(call.args) > position else None)
    needed = removed.METRIC_NEEDS.get(text_of(task) or "")
    if task is None:
        yield f"{last} needs a task", f'{last}(task="multiclass", num_classes=…), or "binary" or "multilabel"'
    elif needed and needed not in given and len(call.args) <= position + 1:
        yield f"{last} needs {needed} for this task", f"{last}(…, {needed}=…)"


def _guarded(module: Module) -> Iterator[ast.AST]:
    """Yield the nodes below `try:` whose failure is caught: code for several versions of a library."""
    for node in module.nodes:
        if isinstance(node, ast.Try) and any(_catches_import(handler) for handler in node.handlers):
            yield from (inner for line in node.body for inner in ast.walk(line))


def _catches_import(handler: ast.ExceptHandler) -> bool:
    caught = "Exception" if handler.type is None else ast.unparse(handler.type)
    return any(name in caught for name in ("ImportError", "ModuleNotFoundError", "AttributeError", "Exception"))


RULE = Rule(
    id="removed-call",
    severity="error",
    title="The code uses what transformers, torchmetrics or Lightning no longer have.",
    why="The import or the call fails with the versions that are installed today.",
    fix="Use what took its place.",
    example="""\
from torch import Tensor, nn
from torchmetrics import Accuracy


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)
        self.accuracy = Accuracy()

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = self.head(self.embedding(input_ids))
        if labels is not None:
            self.accuracy(logits, labels)
        return logits
""",
    instead="""\
from torch import Tensor, nn
from torchmetrics import Accuracy


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.EmbeddingBag(100, 8)
        self.head = nn.Linear(8, 3)
        self.accuracy = Accuracy(task="multiclass", num_classes=3)

    def forward(self, input_ids: Tensor, labels: Tensor | None = None) -> Tensor:
        logits = self.head(self.embedding(input_ids))
        if labels is not None:
            self.accuracy(logits, labels)
        return logits
""",
    find=find,
)

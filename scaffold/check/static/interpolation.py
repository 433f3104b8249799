"""References in the config that lead nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from scaffold.check.facts import facts_of
from scaffold.check.finding import Finding, NotChecked, Severity
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_config
from scaffold.errors import nearest

FACT = re.compile(r"\$\{fact:\s*([^}\s]*)\s*\}")
UNSET = "Environment variable"  # in the message of an error for which OmegaConf has no class


def find(source: Source) -> Iterator[Finding | NotChecked]:
    """Yield every `${…}` that does not resolve, and every `${fact:…}` that the task's `fit` does not set."""
    written = {key: text for key, text in source.settings.values() if isinstance(text, str) and "${" in text}
    with _facts_resolve():
        problems = {key: unresolved(source, key) for key in written}
    for key, problem in problems.items():
        if problem:  # a variable may be set where the model is trained, and not here
            severity: Severity = "note" if UNSET in problem else "error"
            yield RULE.finding(problem, measured=written[key], severity=severity, **source.settings.place(key))
    yield from _facts(source, {name: key for key, text in written.items() for name in FACT.findall(text)})


def unresolved(source: Source, key: str) -> str | None:
    """Return why a value of the config cannot be resolved."""
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        OmegaConf.select(source.settings.composed, key, throw_on_resolution_failure=True)
    except MissingMandatoryValue:  # the rule `missing-value` reports it
        return None
    except OmegaConfBaseException as error:
        return str(error).partition("\n")[0]
    return None


@contextmanager
def _facts_resolve() -> Iterator[None]:
    """Let every `${fact:…}` and `${registered:…}` resolve: training registers resolvers of its own for them."""
    from omegaconf import OmegaConf

    from scaffold.runtime.plain.registry import target_of

    was_there = OmegaConf.has_resolver("registered")
    for name in ("fact", "registered"):
        OmegaConf.register_new_resolver(name, lambda *_names: 1, replace=True)
    try:
        yield
    finally:
        for name in ("fact", "registered"):
            OmegaConf.clear_resolver(name)
        if was_there:
            OmegaConf.register_new_resolver("registered", target_of)


def _facts(source: Source, wanted: dict[str, str]) -> Iterator[Finding | NotChecked]:
    if not wanted:
        return
    known = facts_of(source.code, source.model) if source.model else None
    if known is None:
        yield RULE.not_checked(f"what `fit` puts into facts cannot be read: {', '.join(wanted)}")
        return
    for name, key in wanted.items():
        if name not in known:
            near = nearest(name, known)
            fix = f"Did you mean ${{fact:{near}}}?" if near else "Use one of these, or add it to the facts in fit."
            message = f"the task's fit sets no fact {name}; it sets {', '.join(sorted(known)) or 'none'}"
            yield RULE.finding(message, measured=name, fix=fix, **source.settings.place(key))


RULE = Rule(
    id="interpolation",
    severity="error",
    title="A reference `${…}` in the config leads nowhere.",
    why="Training stops when the value is first read, which may be after the data is prepared.",
    fix="Correct the reference, or add the key it names.",
    example="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:number_of_labels}
dropout: 0.3
optim_conf: ${optimizer}
""",
    instead="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:num_labels}
dropout: 0.3
optim_conf: ${optim}
""",
    find=find,
    applies=needs_config,
    task=None,
    file="conf/model/mymodel.yaml",
    composed=True,
)

"""Keys of the config that are no argument of what is built from them."""

from __future__ import annotations

from collections.abc import Iterator

from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.signatures import sections
from scaffold.check.source import Source, needs_config
from scaffold.errors import listed, nearest


def find(source: Source) -> Iterator[Finding]:
    """Yield every key that the class or function of its section does not take."""
    for section in sections(source):
        signature = section.signature
        for name in section.given:
            if name not in signature.names and not signature.is_open:
                key, near = f"{section.key}.{name}", nearest(name, signature.names)
                yield RULE.finding(
                    f"{signature.name} takes no argument {name}; it takes {listed(signature.names, 20) or 'none'}",
                    measured=key,
                    fix=f"Did you mean {near}?" if near else None,
                    **source.settings.place(key),
                )


RULE = Rule(
    id="unknown-argument",
    severity="error",
    title="A key of the config is no argument of what is built from its section.",
    why="The constructor refuses it, so training stops before it begins; a misspelt key would not have its effect.",
    fix="Correct the key, remove it, or add an argument of that name.",
    example="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:num_labels}
drop_out: 0.3
optim_conf: ${optim}
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

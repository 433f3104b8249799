"""Arguments that the config gives no value."""

from __future__ import annotations

from collections.abc import Iterator

from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.signatures import INJECTED, sections
from scaffold.check.source import Source, needs_config


def find(source: Source) -> Iterator[Finding]:
    """Yield every argument without a default that nothing gives, and every value that is still `???`."""
    for section in sections(source):
        for name in section.needed:
            if name not in section.given:
                yield RULE.finding(
                    f"{section.signature.name} needs the argument {name}, and {section.key} gives it no value",
                    measured=f"{section.key}.{name}",
                    fix=f"Write {name}: … into this section, or give the argument a default.",
                    **source.settings.place(f"{section.key}._target_"),
                )
    for key, value in source.settings.values():
        if value == "???" and source.experiment is None:  # the others are for the command line that chooses them
            yield RULE.finding(f"{key} has no value yet", measured="???", **source.settings.place(key))


RULE = Rule(
    id="missing-value",
    severity="error",
    title="An argument without a default gets no value from the config.",
    why=f"The object cannot be built, so training stops before it begins. {', '.join(INJECTED)} are handed in.",
    fix="Give it a value in this section.",
    example="""\
_target_: mymodel.model.Mymodel
dropout: 0.3
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

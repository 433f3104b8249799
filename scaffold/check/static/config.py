"""Configs that do not compose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scaffold.check.code import typed
from scaffold.check.finding import Finding
from scaffold.check.rule import Rule
from scaffold.check.source import Source, needs_project
from scaffold.errors import ConfigError


def find(source: Source) -> Iterator[Finding]:
    """Yield what Hydra found wrong, or else the keys that nothing reads."""
    for error in _errors(source):
        place = typed(Path(error.where.file or source.root / "conf" / "train.yaml"))
        because = f": {error.because}" if error.because else ""
        yield RULE.finding(f"{error.what}{because}", file=place, line=error.where.line, fix=error.fix or None)


def _errors(source: Source) -> list[ConfigError]:
    from scaffold.runtime.config.unread import unread_keys  # here, as listing the rules needs no Hydra

    error = source.config
    if isinstance(error, ConfigError):
        return [error]
    return unread_keys(source.settings.composed, source.overrides, source.root)


RULE = Rule(
    id="config",
    severity="error",
    title="The files of conf/ do not compose to a config, or have a key that nothing reads.",
    why="Training stops before it begins; a misspelt key would not have its effect.",
    fix="Correct the file, the key or the entry of the defaults list that is named.",
    example="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:num_labels}
dropout: [0.3
optim_conf: ${optim}
""",
    instead="""\
_target_: mymodel.model.Mymodel
num_labels: ${fact:num_labels}
dropout: 0.3
optim_conf: ${optim}
""",
    find=find,
    applies=needs_project,
    task=None,
    file="conf/model/mymodel.yaml",
    composed=True,
)

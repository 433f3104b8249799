"""What `conf/data` says: where the rows are, how they are read and divided, and how many share a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Natural, Positive, check_types, read_settings
from scaffold.runtime.reading.rows import OnBadRow


@dataclass(frozen=True)
class DataSettings:
    """What `conf/data` sets."""

    path: str | Path | Mapping[str, Any]
    format: str | None = None
    columns: Mapping[str, str | int] = field(default_factory=dict)
    batch_size: Positive | None = 32
    max_tokens: Positive | None = 2048
    num_workers: Natural = 0
    vocabulary: str | None = None
    on_bad_row: OnBadRow = "error"
    split: Mapping[str, float] = field(default_factory=lambda: {"validation": 0.1, "test": 0.1})
    stratify: bool = False  # templates set it; a project of an older one divides as it did

    def __post_init__(self) -> None:
        check_types(dict.fromkeys(self.columns, str | int), self.columns, "data.columns")


def settings_of(config: DictConfig) -> DataSettings:
    """Return `config.data` as settings; ConfigError for a key that does not exist and a value that cannot be."""
    return read_settings(DataSettings, plain(config, "data"), "data")

"""The rows of training, validation and test: each split has files of its own, or is taken out of training."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from scaffold.errors import DataError, Where, listed, shown
from scaffold.runtime.config.data_settings import DataSettings
from scaffold.runtime.encoding import report_skipped
from scaffold.runtime.reading.formats import CONVERT, Schema
from scaffold.runtime.reading.readers import NAMED, find_splits, unread
from scaffold.runtime.reading.rows import Finding, Rows, read_rows
from scaffold.runtime.reading.splitting import Strata, split_rows
from scaffold.runtime.task import Task

log = logging.getLogger(__name__)


class Splits:
    """The checked rows of each split; `skipped` has those that `data.on_bad_row=skip` left out."""

    def __init__(self, task: type[Task], settings: DataSettings, options: Any, seed: int) -> None:
        self.task, self.settings, self.options, self.seed = task, settings, options, seed
        self.skipped: dict[str, list[Finding]] = {}
        self._rows: dict[str, Rows] = {}
        self._untold: set[str] = set()
        self._strata: Strata | None = None

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """The data files of each split; a single file counts as training."""
        found = find_splits(self.settings.path, self.task.sample_type.formats, self.settings.format)
        return {"train": found.pop("all")} if "all" in found else found

    @property
    def are_divided(self) -> bool:
        """Whether a split without a file gets a part of the training rows."""
        return not self.settings.split.keys() <= self.files.keys()

    def home(self, split: str) -> str:
        """Return the split in whose files the rows of a split stand."""
        return split if split in self.files else "train"

    def schema(self, split: str) -> Schema:
        """Return how the files of a split are read."""
        return Schema(self.task.sample_type, self.settings.columns, split=split, kind=self.settings.format)

    def rows(self, split: str) -> Rows:
        """Return the checked rows of a split; each file is read once.

        Errors: DataError for bad rows of its files, where nothing is left, and where no part of training is set for it.
        """
        if split in self.files and split != "train":
            if split not in self._rows:
                self._rows[split] = self._read(split)
            return self._rows[split]
        if split in self._divided:
            self._tell_divided(split)
            return self._divided[split]
        raise DataError(
            f"there are no {split} rows",
            because=f"neither a {split}.* file nor a part of training in data.split gives any",
            fix=f"add such a file, or set data.split.{split}=0.1",
            where=Where(key="data.split"),
            code="data.splits",
        )

    @cached_property
    def _divided(self) -> dict[str, Rows]:
        rows = self._read("train")
        missing = {split: part for split, part in self.settings.split.items() if split not in self.files}
        if not missing:
            return {"train": rows}
        labels = self.task.strata(rows, self.options) if self.settings.stratify else None
        self._strata = None if labels is None else Strata(labels)
        self._untold.update(missing)
        return split_rows(rows, {"train": 1.0 - sum(missing.values()), **missing}, self.seed, self._strata)

    def _tell_divided(self, split: str) -> None:
        """Say once, when it is first asked for, that a split has training rows, and of which labels it has none."""
        if split not in self._untold:
            return
        self._untold.remove(split)
        rows, total = self._divided[split], sum(map(len, self._divided.values()))
        message = "%s: no file of its own%s, so it has %d of %d training rows"
        log.warning(message, split, self._unread(split), len(rows), total)
        if self._strata and (absent := self._strata.absent(rows)):
            message = "%s: no row of %d of %d labels, which are too rare to divide: %s"
            log.warning(message, split, len(absent), len(self._strata.names), listed(map(shown, absent)))

    def _read(self, split: str) -> Rows:
        if split not in self.files:
            found = self._unread(split)
            raise DataError(
                "there are no training rows",
                because=f"expected a train.* file in {self.settings.path}{found}",
                fix=f"{CONVERT if found else 'add one'}, or name the files: {NAMED}",
                code="data.empty",
            )
        rows = read_rows(self.files[split], self.schema(split), self.settings.on_bad_row)
        self.skipped[split] = rows.skipped
        report_skipped(split, rows.skipped)
        return rows

    def _unread(self, split: str) -> str:
        found = unread(self.settings.path, split)
        return f" ({listed(found)} cannot be read as rows)" if found else ""

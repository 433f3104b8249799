"""From files to batches: rows are checked and encoded once, batched by length, in an order that can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from omegaconf import DictConfig
from torch.utils.data import DataLoader, Dataset

from scaffold.errors import DataError, ScaffoldError, Where, listed, shown
from scaffold.runtime.batch import Batch, distinct_rows, forward_names, kept_features
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Natural, Positive, check_types, read_settings
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoding import Encoded, encode, misfits, report_skipped
from scaffold.runtime.features import FeatureStore
from scaffold.runtime.reading.formats import CONVERT, Schema
from scaffold.runtime.reading.readers import NAMED, find_splits, unread
from scaffold.runtime.reading.rows import (
    BAD_ROWS,
    MOST_FINDINGS,
    Finding,
    OnBadRow,
    Rows,
    bad_rows,
    read_rows,
    scan_rows,
)
from scaffold.runtime.reading.splitting import Strata, split_rows
from scaffold.runtime.sampler import BatchKey, BatchPlan
from scaffold.runtime.samples import Origin
from scaffold.runtime.task import Context, Stage, Task, uses_score
from scaffold.runtime.training.signals import leave_to_main_process
from scaffold.runtime.vocabulary import Vocabulary

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataSettings:
    """What `conf/data` sets."""

    path: str | Path | Mapping[str, Any]
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


class Batches(Dataset[Batch]):
    """Turns the keys of a plan into batches; all randomness comes from the key."""

    def __init__(
        self, encoded: Encoded, task: type[Task], context: Context, stage: Stage, seed: tuple[int, int]
    ) -> None:
        self.encoded, self.task, self.context, self.stage, self.seed = encoded, task, context, stage, seed
        self.has_several = bool((np.diff(encoded.store.owners) == 0).any())
        self.names_samples = "samples" in forward_names(task)
        self.reads_samples = self.names_samples or stage == "predict" or (stage != "train" and uses_score(task))

    def __getitem__(self, key: BatchKey) -> Batch:
        store = self.encoded.store
        rng = np.random.default_rng([*self.seed, key.epoch, key.number])
        features = store.take(key.indices)
        tensors = self.task.collate(features, self.context, self.stage, rng)
        rows, owners = store.owners[key.indices], None
        if self.has_several:
            rows, owners = distinct_rows(rows)
        samples = [self.encoded.rows[int(row)] for row in rows] if self.reads_samples else []
        if self.names_samples:
            tensors["samples"] = samples
        kept = [] if self.stage == "train" else kept_features(self.task, features)
        return Batch(tensors, samples, owners, rows, kept)


class Loader(DataLoader[Batch]):
    """A loader of whole batches; the plan, not the loader, knows where to go on."""

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: Lightning's counters and the plan say it all."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing, see `state_dict`."""


class DataModule(pl.LightningDataModule):
    """The data of a run, seen through the hooks of its model's class.

    task: the model's class, so that what it overrides counts here too. backbone: that of the config, unless another is
    given; None where the config has none, as for images. context: what an earlier run knew of its data; without one it
    is learnt from the training rows.
    """

    def __init__(
        self, task: type[Task], config: DictConfig, backbone: Backbone | None = None, context: Context | None = None
    ) -> None:
        super().__init__()
        self.task, self.backbone = task, backbone or backbone_of(config)
        self.settings = settings_of(config)
        self.options = context.options if context else make_options(task.options_type, config)
        self.seed = int(config.seed)
        self._context, self._is_given = context, context is not None
        self._rows: dict[Stage, Rows] = {}
        self._encoded: dict[Stage, Encoded] = {}
        self.left_out: dict[str, list[Finding]] = {}
        self._progress: tuple[int, int] | None = None
        self._untold: set[str] = set()
        self._strata: Strata | None = None

    @property
    def context(self) -> Context:
        """What the task must know of the training rows: vocabulary, tokenizer, facts."""
        if self._context is None:
            self._context = self._learnt(self.rows("train"))
        return self._context

    @cached_property
    def files(self) -> dict[str, list[Path]]:
        """The data files of each split; a single file counts as training."""
        found = find_splits(self.settings.path, self.task.sample_type.formats)
        return {"train": found.pop("all")} if "all" in found else found

    def setup(self, stage: str) -> None:
        """Encode all rows before training begins, so that a bad one among those of the test does not end it in vain."""
        for split in ("train", "validation", "test") if stage == "fit" else ():
            self.encoded(split)

    def rows(self, split: Stage) -> Rows:
        """Return the checked rows of a split; splits without a file of their own are taken out of training."""
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

    def origin(self, split: Stage, row: int) -> Origin:
        """Return the file and line of a row."""
        return self.rows(split).origin(int(row))

    @property
    def cut(self) -> int:
        """How many rows of all splits were cut to `task.max_length` tokens."""
        return sum(encoded.cut for encoded in self._encoded.values())

    def encoded(self, stage: Stage) -> Encoded:
        """Return the rows of a stage with their features; encoding happens once."""
        if stage not in self._encoded:
            rows, context = self.rows(stage), self.context
            with self._all_bad_rows(stage):
                encoded = encode(self.task, rows, context, stage, self.settings.on_bad_row)
            self.left_out.setdefault(stage, []).extend(encoded.left_out)
            self._encoded[stage] = encoded
        return self._encoded[stage]

    def loader(self, stage: Stage) -> Loader:
        """Return batches of a stage: shuffled for training, else every row once."""
        encoded = self.encoded(stage)
        plan = self._plan(encoded.store, stage)
        rank = self.trainer.global_rank if self.trainer else 0
        return Loader(
            Batches(encoded, self.task, self.context, stage, (self.seed, rank)),
            sampler=plan,
            batch_size=None,
            num_workers=self.settings.num_workers,
            persistent_workers=self.settings.num_workers > 0,
            worker_init_fn=leave_to_main_process,
            pin_memory=self._on_gpu(),
        )

    def first_batch(self, stage: Stage) -> Batch:
        """Return one batch of a stage with its samples, to try a model on."""
        dataset = Batches(self.encoded(stage), self.task, self.context, stage, (self.seed, 0))
        dataset.reads_samples = True
        return dataset[next(iter(self._plan(dataset.encoded.store, stage)))]

    def train_dataloader(self) -> Loader:
        """Return the training batches; after a resume, those that are still to come."""
        loader = self.loader("train")
        if self._progress is not None:
            (epoch, done), self._progress = self._progress, None
            finished = done >= len(loader)
            loader.sampler.start_at(epoch + finished, 0 if finished else done)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> Loader:
        """Return the validation batches."""
        return self.loader("validation")

    def test_dataloader(self) -> Loader:
        """Return the test batches."""
        return self.loader("test")

    def resume(self, epoch: int, batches: int) -> None:
        """Let training go on in an epoch after so many of its batches."""
        self._progress = (epoch, batches)

    def _learnt(self, rows: Rows) -> Context:
        texts = (text for sample in rows for text in self.task.texts(sample))
        processor = self.backbone.fit_processor(texts) if self.backbone else None
        vocabulary = Vocabulary.load(self.settings.vocabulary) if self.settings.vocabulary else None
        try:
            return self.task.fit(rows, self.options, processor, vocabulary)
        except DataError as problem:
            if not str(problem.where):  # the task knows rows, not the files they are from
                problem.where = Where(file=str(rows.files[0]))
            raise

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
        with self._all_bad_rows(split):
            rows = read_rows(self.files[split], self._schema(split), self.settings.on_bad_row)
        self.left_out.setdefault(split, []).extend(rows.skipped)
        report_skipped(split, rows.skipped)
        return rows

    def _unread(self, split: str) -> str:
        found = unread(self.settings.path, split)
        return f" ({listed(found)} cannot be read as rows)" if found else ""

    def _schema(self, split: str) -> Schema:
        return Schema(self.task.sample_type, self.settings.columns, split=split)

    @contextmanager
    def _all_bad_rows(self, split: str) -> Iterator[None]:
        """Add to the bad rows of one split those of the others: one round of mending is enough."""
        try:
            yield
        except DataError as problem:
            if problem.code != BAD_ROWS or self.settings.on_bad_row == "skip":
                raise
            # who was given a context has no training, and reads no other split
            own = split if split in self.files else "train"
            found = self._bad_rows([own] if self._is_given else self.files)
            if not found and self._divides:
                problem.because += "; it is dividing the rows that leaves it unknown to training"
                problem.fix = f"divide otherwise, for example with seed={self.seed + 1}, or name the files: {NAMED}"
            raise (bad_rows(found) if found else problem) from None

    @property
    def _divides(self) -> bool:
        return not self._is_given and not self.settings.split.keys() <= self.files.keys()

    def _bad_rows(self, splits: Iterable[str]) -> list[Finding]:
        """Return the first bad rows of all files: those that cannot be read, and those that cannot be encoded."""
        read: dict[str, Rows] = {}
        for split in splits:
            with suppress(ScaffoldError):  # a file that is unfit as a whole is told when the rows are mended
                read[split] = scan_rows(self.files[split], self._schema(split), MOST_FINDINGS)
        found = [finding for rows in read.values() for finding in rows.skipped]
        with suppress(Exception):  # and so is what fails in the task's own code
            # of a file that is divided all rows count: what only the division leaves unknown is no fault of a row
            context = None if self._divides else self._context
            context = context or self._learnt(read["train"])
            for stage, rows in read.items():
                found += misfits(self.task, rows, context, stage)  # type: ignore[arg-type]
        places = {str(file): place for place, file in enumerate(chain.from_iterable(self.files.values()))}
        return sorted(found, key=lambda one: (places[one.origin.file], one.origin.line))[:MOST_FINDINGS]

    def _plan(self, store: FeatureStore, stage: Stage) -> BatchPlan:
        return BatchPlan(
            store.lengths,
            batch_size=self.settings.batch_size,
            max_tokens=self.settings.max_tokens,
            shuffle=stage == "train",
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            groups=None if stage == "train" else store.owners,
        )

    def _on_gpu(self) -> bool:
        return self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"


def settings_of(config: DictConfig) -> DataSettings:
    """Return `config.data` as settings; ConfigError for a key that does not exist and a value that cannot be."""
    return read_settings(DataSettings, plain(config, "data"), "data")


def backbone_of(config: DictConfig) -> Backbone | None:
    """Return the backbone that the config describes; None where it has none."""
    return Backbone(**plain(config, "backbone")) if config.get("backbone") else None


def make_options(options_type: type, config: DictConfig) -> Any:
    """Return `config.task` as the task's options; ConfigError as for `settings_of`."""
    return read_settings(options_type, plain(config, "task"), "task")

"""From files to batches: rows are checked and encoded once, batched by length, in an order that can be resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from omegaconf import DictConfig
from torch.utils.data import DataLoader, Dataset

from scaffold.errors import DataError, Where
from scaffold.runtime.batch import Batch, distinct_rows, forward_names, kept_features
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import Natural, Positive, read_settings
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.features import FeatureStore
from scaffold.runtime.reading.readers import Finding, Rows, Schema, bad_rows, find_splits, read_rows, split_rows
from scaffold.runtime.reading.rows import MOST_FINDINGS, OnBadRow
from scaffold.runtime.sampler import BatchKey, BatchPlan
from scaffold.runtime.samples import BadRow, Origin
from scaffold.runtime.task import Context, Features, Stage, Task, uses_score
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


@dataclass(frozen=True)
class Encoded:
    """The rows of one stage, and their features as the model gets them."""

    rows: Rows
    store: FeatureStore
    left_out: Sequence[Finding] = ()


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
        self._given_context = context
        self._rows: dict[Stage, Rows] = {}
        self._encoded: dict[Stage, Encoded] = {}
        self.left_out: dict[str, list[Finding]] = {}
        self._progress: tuple[int, int] | None = None
        self._untold: set[str] = set()

    @cached_property
    def context(self) -> Context:
        """What the task must know of the training rows: vocabulary, tokenizer, facts."""
        if self._given_context is not None:
            return self._given_context
        rows = self.rows("train")
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

    def encoded(self, stage: Stage) -> Encoded:
        """Return the rows of a stage with their features; encoding happens once."""
        if stage not in self._encoded:
            encoded = encode(self.task, self.rows(stage), self.context, stage, self.settings.on_bad_row)
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

    @cached_property
    def _divided(self) -> dict[str, Rows]:
        rows = self._read("train")
        missing = {split: part for split, part in self.settings.split.items() if split not in self.files}
        if not missing:
            return {"train": rows}
        parts = split_rows(rows, {"train": 1.0 - sum(missing.values()), **missing}, self.seed)
        self._untold.update(missing)
        return parts

    def _tell_divided(self, split: str) -> None:
        """Say once, when it is first asked for, that a split has training rows."""
        if split in self._untold:
            self._untold.remove(split)
            parts = self._divided
            log.warning(
                "%s: no file of its own, so it has %d of %d training rows",
                split,
                len(parts[split]),
                sum(map(len, parts.values())),
            )

    def _read(self, split: str) -> Rows:
        if split not in self.files:
            raise DataError(
                "there are no training rows",
                because=f"expected a train.* file in {self.settings.path}",
                fix="add one, or name the files: 'data.path={train: rows/a.tsv, test: rows/c.tsv}'",
                code="data.empty",
            )
        schema = Schema(self.task.sample_type, self.settings.columns, split=split)
        rows = read_rows(self.files[split], schema, self.settings.on_bad_row)
        self.left_out.setdefault(split, []).extend(rows.skipped)
        report_skipped(split, rows.skipped)
        return rows

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


def encode(task: type[Task], rows: Rows, context: Context, stage: Stage, on_bad_row: str = "error") -> Encoded:
    """Encode rows; what is cut or left out is counted and said.

    Errors: one DataError with the file and line of the first 20 rows that cannot be encoded.
    """
    encoder = _Encoder(task, context, stage, most=MOST_FINDINGS if on_bad_row == "error" else None)
    store = FeatureStore(encoder.features(rows), length=task.length)
    if encoder.bad and encoder.most is not None:
        raise bad_rows(encoder.bad)
    if len(store) == 0:
        raise DataError(
            f"no row of {stage} is left",
            because=f"of {len(rows)} rows, {len(encoder.short)} are too short and {len(encoder.bad)} cannot be encoded",
            fix="check task.min_length and the rows",
            where=Where(file=str(rows.files[0])),
            code="data.empty",
        ).with_details([f"{origin}: {message}" for origin, message in encoder.bad[:MOST_FINDINGS]])
    encoder.report(len(rows))
    return Encoded(rows, store, [*encoder.bad, *encoder.short])


class _Encoder:
    """One pass over rows that keeps count of what was cut, left out, or wrong."""

    def __init__(self, task: type[Task], context: Context, stage: Stage, most: int | None) -> None:
        self.task, self.context, self.stage, self.most = task, context, stage, most
        self.bad: list[Finding] = []
        self.short: list[Finding] = []
        self.cut = 0

    def features(self, rows: Rows) -> Iterator[tuple[int, Sequence[Features]]]:
        for number, sample in enumerate(rows):
            try:
                found = self.task.encode(sample, self.context, self.stage)
            except BadRow as problem:
                self.bad.append(Finding(rows.origin(number), str(problem)))
                if len(self.bad) == self.most:
                    return
                continue
            if not found or (self.stage == "train" and is_short(found, self.context.options)):
                found = []
                self.short.append(Finding(rows.origin(number), "it is shorter than task.min_length"))
            self.cut += any(features.pop("truncated", False) for features in found)
            yield number, found

    def report(self, total: int) -> None:
        if self.cut:
            log.warning("%s: %d of %d rows were cut to task.max_length tokens", self.stage, self.cut, total)
        if self.short:
            log.warning(
                "%s: %d of %d rows are shorter than task.min_length: left out", self.stage, len(self.short), total
            )
        report_skipped(self.stage, self.bad)


def is_short(found: Sequence[Features], options: Any) -> bool:
    """Return whether a row has fewer tokens than `task.min_length`; a row that is no text never has."""
    least = getattr(options, "min_length", 0)
    return all("input_ids" in features and len(features["input_ids"]) < least for features in found)


def report_skipped(split: str, findings: Sequence[Finding]) -> None:
    """Say which rows were left out because of `data.on_bad_row=skip`; the run folder lists them all."""
    for origin, message in findings[:MOST_FINDINGS]:
        log.warning("%s: left out %s: %s", split, origin, message)
    if len(findings) > MOST_FINDINGS:
        log.warning("%s: left out %d more", split, len(findings) - MOST_FINDINGS)


def settings_of(config: DictConfig) -> DataSettings:
    """Return `config.data` as settings; ConfigError for a key that does not exist and a value that cannot be."""
    return read_settings(DataSettings, plain(config, "data"), "data")


def backbone_of(config: DictConfig) -> Backbone | None:
    """Return the backbone that the config describes; None where it has none."""
    return Backbone(**plain(config, "backbone")) if config.get("backbone") else None


def make_options(options_type: type, config: DictConfig) -> Any:
    """Return `config.task` as the task's options; ConfigError as for `settings_of`."""
    return read_settings(options_type, plain(config, "task"), "task")

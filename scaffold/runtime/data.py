"""From files to batches: rows are checked and encoded once, batched by length, in an order that can be resumed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from omegaconf import DictConfig
from torch.utils.data import DataLoader, Dataset

from scaffold.errors import DataError, Where
from scaffold.runtime.batch import Batch, distinct_rows, forward_names, kept_features
from scaffold.runtime.config.data_settings import settings_of
from scaffold.runtime.config.objects import plain
from scaffold.runtime.config.settings import read_settings
from scaffold.runtime.encoders.backbones import Backbone
from scaffold.runtime.encoding import Encoded, encode
from scaffold.runtime.features import FeatureStore
from scaffold.runtime.reading.rows import Finding, Rows
from scaffold.runtime.sampler import BatchKey, BatchPlan
from scaffold.runtime.samples import Origin
from scaffold.runtime.splits import Splits
from scaffold.runtime.survey import all_bad_rows
from scaffold.runtime.task import Context, Stage, Task, uses_score
from scaffold.runtime.training.signals import leave_to_main_process
from scaffold.runtime.vocabulary import Vocabulary


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
        self.splits = Splits(task, self.settings, self.options, self.seed)
        self._context, self._is_given = context, context is not None
        self._encoded: dict[Stage, Encoded] = {}
        self._progress: tuple[int, int] | None = None

    @property
    def context(self) -> Context:
        """What the task must know of the training rows: vocabulary, tokenizer, facts."""
        if self._context is None:
            self._context = self._learnt(self.rows("train"))
        return self._context

    @property
    def files(self) -> dict[str, list[Path]]:
        """The data files of each split; a single file counts as training."""
        return self.splits.files

    @property
    def left_out(self) -> dict[str, list[Finding]]:
        """The rows of each split that were left out: those that cannot be read, then those that became no features."""
        found = {split: list(skipped) for split, skipped in self.splits.skipped.items()}
        for stage, encoded in self._encoded.items():
            found.setdefault(stage, []).extend(encoded.left_out)
        return found

    def setup(self, stage: str) -> None:
        """Encode all rows before training begins, so that a bad one among those of the test does not end it in vain."""
        for split in ("train", "validation", "test") if stage == "fit" else ():
            self.encoded(split)

    def rows(self, split: Stage) -> Rows:
        """Return the checked rows of a split; splits without a file of their own are taken out of training."""
        with self._all_bad_rows(split):
            return self.splits.rows(split)

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
                self._encoded[stage] = encode(self.task, rows, context, stage, self.settings.on_bad_row)
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

    def _known(self, read: Mapping[str, Rows]) -> Context:
        """Return what is known of the training rows, where bad ones are looked for in the rows of each file's split."""
        # of files that are divided all rows count: what only the division leaves unknown is no fault of a row
        known = self._context if self._is_given or not self.splits.are_divided else None
        return known or self._learnt(read["train"])

    def _all_bad_rows(self, split: Stage) -> AbstractContextManager[None]:
        return all_bad_rows(self.splits, split, self._known, alone=self._is_given)

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


def backbone_of(config: DictConfig) -> Backbone | None:
    """Return the backbone that the config describes; None where it has none."""
    return Backbone(**plain(config, "backbone")) if config.get("backbone") else None


def make_options(options_type: type, config: DictConfig) -> Any:
    """Return `config.task` as the task's options; ConfigError as for `settings_of`."""
    return read_settings(options_type, plain(config, "task"), "task")

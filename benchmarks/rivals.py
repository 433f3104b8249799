"""The other ways to train the same model on the same rows: a raw loop, Lightning, and transformers' Trainer."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

RATE = 2e-3
DECAY = 0.01
CLIP = 1.0


def device() -> str:
    """Return where everything runs."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def optimizer_of(model: torch.nn.Module) -> tuple[AdamW, LambdaLR]:
    """Return what all loops optimize with: fused AdamW without decay on vectors, and a rate set at each step."""
    matrices = [one for one in model.parameters() if one.ndim > 1]
    vectors = {"params": [one for one in model.parameters() if one.ndim < 2], "weight_decay": 0.0}
    optimizer = AdamW([{"params": matrices}, vectors], lr=RATE, weight_decay=DECAY, fused=True)
    return optimizer, LambdaLR(optimizer, lambda step: 1.0 / (1 + step))


def raw_loop(model: Any, batches: Iterable[Any], bf16: bool = False) -> None:
    """Train with nothing but PyTorch: no metric, no log, no bar."""
    model.to(device()).train()
    optimizer, schedule = optimizer_of(model)
    cast = torch.autocast(device(), torch.bfloat16) if bf16 else contextlib.nullcontext()
    for batch in batches:
        with cast:
            loss = model(**batch.to(device(), non_blocking=True)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        schedule.step()


class PlainModule(pl.LightningModule):
    """The module of Lightning's first page: it logs the loss."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def training_step(self, batch: Any) -> Any:
        """Log the loss."""
        loss = self.model(**batch).loss
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> Any:
        """Return the shared optimizer."""
        optimizer, schedule = optimizer_of(self.model)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class UsualModule(PlainModule):
    """The module that most Lightning templates have: loss and accuracy, on the bar and for the epoch."""

    def __init__(self, model: Any, labels: int) -> None:
        super().__init__(model)
        self.accuracy = MulticlassAccuracy(labels)

    def training_step(self, batch: Any) -> Any:
        """Log the loss and the metric."""
        output = self.model(**batch)
        self.accuracy(output.logits, batch["labels"])
        self.log("train/loss", output.loss, prog_bar=True)
        self.log("train/accuracy", self.accuracy, on_step=True, on_epoch=True, prog_bar=True)
        return output.loss


def lightning(module: pl.LightningModule, batches: Any, precision: str) -> None:
    """Train with Lightning's own settings: the bar is drawn at each step, a CSV row written at every 50th."""
    with tempfile.TemporaryDirectory() as folder:
        pl.Trainer(
            max_epochs=1,
            devices=1,
            precision=precision,  # type: ignore[arg-type]
            gradient_clip_val=CLIP,
            logger=CSVLogger(folder),
            callbacks=[TQDMProgressBar()],
            enable_checkpointing=False,
            enable_model_summary=False,
        ).fit(module, batches)


def hf_trainer(model: Any, rows: list[dict[str, Any]], collate: Any, batches: Any = None, **arguments: Any) -> None:
    """Train with transformers' Trainer, on ready batches where these are given."""

    class OnReady(Trainer):
        def get_train_dataloader(self) -> DataLoader[Any]:
            return batches if batches is not None else super().get_train_dataloader()

    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder,
            num_train_epochs=1,
            per_device_train_batch_size=32,
            learning_rate=RATE,
            weight_decay=DECAY,
            max_grad_norm=CLIP,
            logging_steps=50,
            report_to="none",
            save_strategy="no",
            remove_unused_columns=False,
            disable_tqdm=False,
            use_cpu=device() == "cpu",
            **arguments,
        )
        OnReady(model, settings, train_dataset=rows, data_collator=collate).train()  # type: ignore[arg-type]


def padding(tokenizer: Any, to: int | None = None) -> DataCollatorWithPadding:
    """Return transformers' own way to make a batch: padded to its longest row, or to a fixed length."""
    return DataCollatorWithPadding(tokenizer, padding="max_length" if to else True, max_length=to)

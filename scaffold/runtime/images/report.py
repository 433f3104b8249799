"""What a test leaves behind for people: which labels are taken for which, and the images that went most wrong."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from scaffold.runtime.contracts import entry
from scaffold.runtime.files import write_text
from scaffold.runtime.images.pictures import Tile, confusion_picture, contact_sheet

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mistake:
    """A test image that was given a wrong label, with the model's probabilities of the right one and of its own."""

    path: str
    label: str
    prediction: str
    label_score: float
    score: float


class ImageReport(pl.Callback):
    """Writes confusion_matrix and mistakes, each as .png and .json, into the run folder at the end of a test.

    mistakes: how many images the sheet shows, those first whose right label was thought least likely. Of several
    processes, the first shows its own. A model whose `test_step` returns no output gets no report.
    """

    def __init__(self, mistakes: int = 40) -> None:
        self.most = mistakes
        self.confusion: MulticlassConfusionMatrix | None = None
        self.worst = torch.empty(0, 5, dtype=torch.float64)

    def on_test_start(self, trainer: pl.Trainer, pl_module: Any) -> None:  # noqa: ARG002 - Lightning gives both
        """Begin anew."""
        labels = pl_module.context.vocabulary.size("labels")
        self.confusion = MulticlassConfusionMatrix(labels).to(pl_module.device)
        self.worst = torch.empty(0, 5, dtype=torch.float64)

    def on_test_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, *_: Any) -> None:  # noqa: ARG002
        """Count a batch, and keep its worst mistakes."""
        logits = None if outputs is None else entry(outputs, "logits")
        if logits is None or self.confusion is None:
            return
        self.confusion.update(logits, batch["labels"])
        found = torch.cat([self.worst, wrong(logits, batch["labels"], batch.rows)])
        self.worst = found[found[:, 3].argsort(stable=True)[: self.most]]

    def on_test_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the files."""
        if self.confusion is None or not self.confusion.update_called:
            log.warning("no confusion matrix and no mistakes are written: test_step returns no output")
            return
        counts = self.confusion.compute().cpu().numpy()
        if not trainer.is_global_zero:
            return
        folder, names = Path(trainer.default_root_dir), pl_module.context.vocabulary.elements("labels")
        matrix = {"labels": list(names), "counts": counts.tolist()}  # counts[label][prediction]
        write_text(folder / "confusion_matrix.json", json.dumps(matrix, ensure_ascii=False) + "\n")
        confusion_picture(counts, names).save(folder / "confusion_matrix.png")
        write_mistakes(folder, self.worst, trainer.datamodule.rows("test"), names)  # type: ignore[attr-defined]


def wrong(logits: Tensor, labels: Tensor, rows: Any) -> Tensor:
    """Return (mistakes, 5): row, label, prediction, the label's probability and the prediction's."""
    scores, labels = logits.detach().float().softmax(dim=-1).cpu(), labels.cpu()
    best, predicted = scores.max(dim=-1)
    right = scores.gather(1, labels[:, None]).squeeze(1)
    columns = (torch.as_tensor(rows), labels, predicted, right, best)
    table = torch.stack([column.double() for column in columns], dim=1)
    return table[predicted != labels]


def write_mistakes(folder: Path, worst: Tensor, rows: Any, names: Any) -> None:
    """Write the mistakes as JSON and, where there are any, as a sheet."""
    mistakes, tiles = [], []
    for row, label, predicted, right, best in worst.tolist():
        sample = rows[int(row)]
        found = Mistake(sample.path, names[int(label)], names[int(predicted)], round(right, 6), round(best, 6))
        mistakes.append(vars(found))
        tiles.append(Tile(sample.pixels(), (found.label, f"as {found.prediction} {best:.0%}"), is_wrong=True))
    write_text(folder / "mistakes.json", json.dumps(mistakes, indent=2, ensure_ascii=False) + "\n")
    (folder / "mistakes.png").unlink(missing_ok=True)
    if tiles:
        contact_sheet(tiles).save(folder / "mistakes.png")

"""What a test leaves behind for people: which labels are taken for which, and the images that went most wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from scaffold.runtime.batch import Batch
from scaffold.runtime.contracts import entry
from scaffold.runtime.files import write_text
from scaffold.runtime.images.pictures import Tile, confusion_picture, contact_sheet
from scaffold.runtime.training.reports import Report

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mistake:
    """A test image that was given a wrong label, with the model's probabilities of the right one and of its own."""

    path: str
    label: str
    prediction: str
    label_score: float
    score: float


class ImageReport(Report):
    """Writes confusion_matrix and mistakes, each as .png and .json, into the run folder at the end of a test.

    mistakes: how many images the sheet shows, those first whose right label was thought least likely. Of several
    processes, the first shows its own. A model whose `test_step` returns no output gets no report.
    """

    def __init__(self, mistakes: int = 40) -> None:
        self.most = mistakes
        self.labels: Sequence[str] = ()
        self.confusion: MulticlassConfusionMatrix | None = None
        self.worst = torch.empty(0, 5, dtype=torch.float64)

    def begin(self, module: Any) -> None:
        """Begin anew."""
        self.labels = module.context.vocabulary.elements("labels")
        self.confusion = MulticlassConfusionMatrix(len(self.labels)).to(module.device)
        self.worst = torch.empty(0, 5, dtype=torch.float64)

    def add(self, output: Any, batch: Batch) -> None:
        """Count a batch, and keep its worst mistakes."""
        logits = None if output is None else entry(output, "logits")
        if logits is None or self.confusion is None:
            return
        chosen = entry(output, "predictions")
        predicted = logits.detach().argmax(dim=-1) if chosen is None else chosen
        self.confusion.update(predicted, batch["labels"])
        found = torch.cat([self.worst, wrong(logits, predicted, batch["labels"], batch.rows)])
        self.worst = found[found[:, 3].argsort(stable=True)[: self.most]]

    def write(self, folder: Path | None, rows: Sequence[Any]) -> None:
        """Write the files."""
        if self.confusion is None or not self.confusion.update_called:
            log.warning("no confusion matrix and no mistakes are written: test_step returns no output")
            return
        counts = self.confusion.compute().cpu().numpy()
        if folder is None:
            return
        matrix = {"labels": list(self.labels), "counts": counts.tolist()}  # counts[label][prediction]
        start = folder / f"{self.prefix}confusion_matrix"  # endings are put behind it: a prefix may hold dots
        write_text(Path(f"{start}.json"), json.dumps(matrix, ensure_ascii=False) + "\n")
        confusion_picture(counts, self.labels).save(f"{start}.png")
        write_mistakes(folder / f"{self.prefix}mistakes", self.worst, rows, self.labels)


def wrong(logits: Tensor, predicted: Tensor, labels: Tensor, rows: Any) -> Tensor:
    """Return (mistakes, 5): row, label, prediction, the label's probability and the prediction's."""
    scores, predicted, labels = logits.detach().float().softmax(dim=-1).cpu(), predicted.cpu(), labels.cpu()
    best, right = (scores.gather(1, indices[:, None]).squeeze(1) for indices in (predicted, labels))
    columns = (torch.as_tensor(rows), labels, predicted, right, best)
    table = torch.stack([column.double() for column in columns], dim=1)
    return table[predicted != labels]


def write_mistakes(start: Path, worst: Tensor, rows: Any, names: Any) -> None:
    """Write the mistakes as JSON and, where there are any, as a sheet: `start` with the ending of each."""
    mistakes, tiles = [], []
    for row, label, predicted, right, best in worst.tolist():
        sample = rows[int(row)]
        found = Mistake(sample.path, names[int(label)], names[int(predicted)], round(right, 6), round(best, 6))
        mistakes.append(vars(found))
        tiles.append(Tile(sample.pixels(), (found.label, f"as {found.prediction} {best:.0%}"), is_wrong=True))
    write_text(Path(f"{start}.json"), json.dumps(mistakes, indent=2, ensure_ascii=False) + "\n")
    sheet = Path(f"{start}.png")
    sheet.unlink(missing_ok=True)
    if tiles:
        contact_sheet(tiles).save(sheet)

"""Where the figures of a run go: always metrics.csv, and what `logger=` names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import Logger

from scaffold.errors import ConfigError, EnvironmentFault, Where, listed, nearest, shown
from scaffold.runtime.files import write_text

CLASSES = {"tensorboard": "TensorBoardLogger", "wandb": "WandbLogger", "mlflow": "MLFlowLogger"}


class CurveLogger(Logger):
    """The curve of a run as one CSV file, a row per step; a resumed run goes on in it.

    A row is written when the next one begins, so that training and validation at one step share a row.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []
        self.row: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The logger's word in the config."""
        return "csv"

    @property
    def version(self) -> str:
        """The run folder's name."""
        return self.path.parent.name

    @rank_zero_only
    def resume(self, row: Mapping[str, Any]) -> None:
        """Go on after what an earlier process wrote: `row` was its unwritten one when it saved; none begins anew."""
        if self.path.is_file():
            self._rewrite([written for written in self._read() if row and int(written["step"]) < row["step"]])
        self.row = dict(row)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Add values to the row of a step."""
        if self.row and self.row["step"] != step:
            self._flush()
        self.row.setdefault("step", step or 0)
        self.row.update(metrics)

    @rank_zero_only
    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: config.yaml has them."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write the last row."""
        self._flush()

    def _flush(self) -> None:
        if not self.row:
            return
        new = [name for name in self.row if name not in self.columns]
        if new:
            self._rewrite([*self._read(), self.row], [*self.columns, *new])
        else:
            with self.path.open("a", encoding="utf-8", newline="") as handle:
                csv.DictWriter(handle, self.columns, lineterminator="\n").writerow(self.row)
        self.row = {}

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle)
            rows = list(reader)
            self.columns = list(reader.fieldnames or [])
        return rows

    def _rewrite(self, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
        self.columns = columns or self.columns
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(self.path, text.getvalue())


def epoch_line(epoch: int, epochs: int | None, metrics: Mapping[str, Any]) -> str:
    """Return the figures of an epoch, of so many or of no fixed number, as a line for the screen."""
    of = f"/{epochs}" if epochs is not None and epochs > 0 else ""
    return f"epoch {epoch}{of}  " + "  ".join(f"{name} {float(value):.4f}" for name, value in sorted(metrics.items()))


def build_loggers(words: str | Iterable[str], folder: Path) -> list[Logger]:
    """Return the CSV logger and those that the config names.

    Errors: ConfigError for an unknown word, EnvironmentFault when a logger's package is not installed.
    """
    names = [words] if isinstance(words, str) else list(words or [])
    return [CurveLogger(folder / "metrics.csv"), *(_build(name, folder) for name in names if name != "csv")]


def _build(name: str, folder: Path) -> Logger:
    if name not in CLASSES:
        near = nearest(name, CLASSES)
        raise ConfigError(
            f"there is no logger called {shown(name)}",
            because=f"known are csv, {listed(CLASSES)}",
            fix=f"logger={near}" if near else "name one of them, or a list",
            where=Where(key="logger"),
        )
    packages = {"tensorboard": ("tensorboard", "tensorboardX")}.get(name, (name,))
    if not any(find_spec(package) for package in packages):
        raise EnvironmentFault(
            f"logger={name} needs a package that is not installed",
            because=f"no module is called {listed(packages)}",
            fix=f"pip install 'scaffold-ml[{name}]'",
            where=Where(key="logger"),
        )
    import lightning.pytorch.loggers as known

    options = {"wandb": {"save_dir": str(folder), "name": folder.name}, "mlflow": {"run_name": folder.name}}
    return getattr(known, CLASSES[name])(**options.get(name, {"save_dir": str(folder), "name": "", "version": ""}))

"""`evaluate` and `predict`: what is done with a run after training. Both need only a run folder and a data file."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import lightning.pytorch as pl
from omegaconf import DictConfig, OmegaConf

from scaffold.errors import EnvironmentFault, RefusedError, Where
from scaffold.runtime.config.data_settings import settings_of
from scaffold.runtime.data import DataModule
from scaffold.runtime.module import BaseModule
from scaffold.runtime.overrides import change_options, change_reading, check_overrides
from scaffold.runtime.prediction import predict
from scaffold.runtime.reading.formats import FOLDER, Schema
from scaffold.runtime.reading.lines import no_file
from scaffold.runtime.reading.rows import Finding, stream_rows
from scaffold.runtime.recipe import load_model
from scaffold.runtime.samples import BadRow, Sample
from scaffold.runtime.task import Prediction
from scaffold.runtime.training.manifest import refuse_rows_of_training
from scaffold.runtime.training.reports import reports_of
from scaffold.runtime.training.run import DIGITS, Run
from scaffold.runtime.training.trainer import quiet_trainer

log = logging.getLogger(__name__)

STANDARD = "-"
LONGEST_NAME = 150  # bytes; file systems allow 255, with what reports add


def evaluate(
    run_folder: str, data: str | None = None, accelerator: str = "auto", changes: Sequence[str] = ()
) -> dict[str, float]:
    """Measure a run's best checkpoint on its test rows, or on the rows of another file.

    changes: what is changed for this once: `task.KEY=VALUE`, `data.format=conll` and the like.
    Writes evaluation.json and returns what it holds. Another file and changed options are named in the file's name, as
    in evaluation-data-validation-task.threshold=0.5.json; the files of the run's reports have names that begin alike.
    """
    run, model, config = _opened_run(run_folder, changes)
    config = _with_test(config, data, reads_folders=FOLDER in model.sample_type.formats)
    module = DataModule(type(model), config, context=model.context)
    precision = run.config.trainer.get("precision")
    if data is None:
        refuse_rows_of_training(run.folder, module.files)
    name = _evaluation_name(data, changes)
    trainer = quiet_trainer(
        accelerator=accelerator,
        devices=1,
        precision=precision,
        callbacks=[*reports_of(run.config, prefix=f"{name}-"), _Details()],
        default_root_dir=run.folder,
    )
    found = trainer.test(model, module, verbose=False)[0]
    metrics = {metric: round(float(value), DIGITS) for metric, value in found.items()}
    run.write_metrics(metrics, f"{name}.json")
    return metrics


def predict_file(
    run_folder: str,
    source: str,
    target: str,
    kind: str | None = None,
    device: str = "auto",
    changes: Sequence[str] = (),
) -> int:
    """Predict every row of a file, or of standard input, as JSON lines in input order; return how many rows are bad.

    changes: what is changed for this once: `task.KEY=VALUE`, `data.format=conll` and the like.
    A bad row gives its place and what is wrong with it. The output file appears when it is whole.
    """
    _, model, config = _opened_run(run_folder, changes)
    model.to(_device(device))
    settings = settings_of(config)
    schema = Schema(model.sample_type, settings.columns, carry=True, kind=settings.format)
    stream = sys.stdin.buffer if source == STANDARD else source
    rows = stream_rows(stream, schema, kind=kind)  # type: ignore[arg-type]
    bad = number = 0
    with _opened(source, target) as output:
        for number, (sample, prediction) in enumerate(_in_order(model, rows), start=1):
            bad += isinstance(prediction, Finding)
            output.write(json.dumps(_line(model, number, sample, prediction), ensure_ascii=False) + "\n")
    if not number:
        log.warning("there are no rows in %s", "standard input" if source == STANDARD else source)
    return bad


class _Details(pl.Callback):
    """Logs what metrics know in detail, such as the figures of each type of span: too much for every validation."""

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:  # noqa: ARG002
        """Ask the metrics before they are reset."""
        for metric in pl_module.stage_metrics["test"].values():
            details = metric.details() if metric.update_called and hasattr(metric, "details") else {}
            pl_module.log_dict({f"test/{name}": value for name, value in details.items()})


def _opened_run(folder: str, changes: Sequence[str]) -> tuple[Run, Any, DictConfig]:
    """Return a run, its best model and its config, with what is changed for this once."""
    check_overrides(changes)
    run = Run.open(folder)
    model = load_model(run.trained())
    change_options(model, changes)
    return run, model, change_reading(run.config, changes)


def _evaluation_name(data: str | None, changes: Sequence[str]) -> str:
    """Return what the names of an evaluation's files begin with: another one for other rows or options.

    A name that is cut ends with what follows from all of it, so that no two share a file.
    """
    parts = ["evaluation", *_words(data)]
    name = os.fsencode("-".join([*parts, *(re.sub(r"[^\w.=]+", "_", change) for change in changes)]))
    if len(name) <= LONGEST_NAME:
        return os.fsdecode(name)
    digest = hashlib.sha256(os.fsencode("-".join([*parts, *changes]))).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9].decode(errors='ignore')}-{digest}"


def _words(data: str | None) -> list[str]:
    """Return the last parts of a file's path, so that files of one name in two folders are told apart."""
    path = Path(data).with_suffix("") if data else Path()
    return [part for part in path.parts if part.strip("./")][-3:]


def _in_order(model: BaseModule, rows: Iterator[Sample | Finding]) -> Iterator[tuple[Sample | None, Any]]:
    """Yield each row's sample and prediction; what could not be read or encoded keeps its place as a Finding."""
    unread: dict[int, Finding] = {}

    def readable() -> Iterator[Sample]:
        for place, row in enumerate(rows):
            if isinstance(row, Finding):
                unread[place] = row
            else:
                yield row

    number = 0
    for sample, prediction in predict(model, readable()):
        while number in unread:
            yield None, unread.pop(number)
            number += 1
        if isinstance(prediction, BadRow) and sample.origin:
            prediction = Finding(sample.origin, str(prediction))
        yield sample, prediction
        number += 1
    yield from ((None, unread[place]) for place in sorted(unread))


def _line(model: Any, number: int, sample: Sample | None, prediction: Any) -> dict[str, Any]:
    if isinstance(prediction, Finding):
        return {"row": number, "line": prediction.origin.line, "error": prediction.message}
    known = {name: value for name, value in model.as_row(sample, model.context).items() if value is not None}
    return known | (prediction.as_row() if isinstance(prediction, Prediction) else {"prediction": prediction})


@contextmanager
def _opened(source: str, target: str) -> Iterator[IO[str]]:
    if target == STANDARD:
        yield sys.stdout
        sys.stdout.flush()
        return
    path = Path(target)
    if source != STANDARD:
        _refuse_same_file(path, source)
    if path.exists() and not path.is_file():  # a pipe or a device is written to, not replaced
        with _writable(path, target) as handle:
            yield handle
        return
    whole = path.resolve()  # a link stays one
    part = whole.with_name(f"{whole.name}.part")
    try:
        with _writable(part, target) as handle:
            yield handle
        part.replace(whole)
    finally:
        with suppress(OSError):
            part.unlink()


def _refuse_same_file(target: Path, source: str) -> None:
    if target.exists() and target.samefile(source):
        raise RefusedError(
            f"{target} is both input and output",
            because="the predictions would replace the rows",
            fix="name another output",
            where=Where(file=str(target)),
            code="refused.same-file",
        )


def _writable(path: Path, target: str) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8", newline="\n")
    except OSError as fault:
        raise EnvironmentFault(
            f"cannot write {target}",
            because=fault.strerror or str(fault),
            fix="name a file that you may write",
            where=Where(file=target),
        ) from None


def _with_test(config: DictConfig, data: str | None, *, reads_folders: bool) -> DictConfig:
    if data is None:
        return config
    is_readable = Path(data).is_file() or (reads_folders and Path(data).is_dir())
    if not is_readable:
        raise no_file(data, f"there is no file {data}", fix="check DATA")
    copy = config.copy()
    OmegaConf.update(copy, "data.path", {"test": [data]}, force_add=True, merge=False)
    return copy


def _device(word: str) -> str:
    import torch

    if word == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cuda" if word == "gpu" else word  # Lightning's name for it, which `evaluate` takes

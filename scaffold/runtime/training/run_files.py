"""What every run writes down before its first step, whatever trains it."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scaffold.errors import RefusedError, Where, listed
from scaffold.runtime.config.secrets import discreet
from scaffold.runtime.files import write_text
from scaffold.runtime.reading.rows import Finding
from scaffold.runtime.splits import Splits
from scaffold.runtime.task import Context
from scaffold.runtime.training.manifest import manifest, refuse_other_data, refuse_other_engine
from scaffold.runtime.training.run import Run

LEARNT = {"vocabulary.json", "processor.json", "tokenizer.json"}  # from the training rows, by the project's code
log = logging.getLogger(__name__)


def refuse_other_start(run: Run, data: Any, engine: str = "lightning") -> None:
    """Raise RefusedError when a run would go on with another training loop, data or tokenizer than it began with."""
    if run.resume_from:
        refuse_other_engine(run.folder, engine)
        refuse_other_data(run.folder, data.files)
        _refuse_other_context(run.folder, data.context)


def write_run_files(run: Run, model: Any, data: Any, engine: str = "lightning") -> None:
    """Write the vocabulary, the processor, the manifest and the rows that were left out into the run folder."""
    folder = run.folder
    _write_context(model.context, folder)
    facts = manifest(run, model, data.files, engine)
    write_text(folder / "manifest.json", discreet(json.dumps(facts, indent=2, ensure_ascii=False)) + "\n")
    if not run.resume_from:
        _tell_same_files(data.splits, facts["data"])
    if any(data.left_out.values()):
        write_text(folder / "skipped_rows.jsonl", "".join(map(_as_json_line, _rows_left_out(data.left_out))))


def _write_context(context: Context, folder: Path) -> None:
    labels = json.dumps(context.vocabulary.as_dict(), ensure_ascii=False, indent=2)
    write_text(folder / "vocabulary.json", labels + "\n")
    if hasattr(context.processor, "save_pretrained"):
        context.processor.save_pretrained(str(folder / "tokenizer"))
    elif context.processor is not None:
        write_text(folder / "processor.json", json.dumps(asdict(context.processor), indent=2) + "\n")


def _refuse_other_context(folder: Path, context: Context) -> None:
    with tempfile.TemporaryDirectory() as name:
        _write_context(context, Path(name))
        files = {file.relative_to(name): file for file in Path(name).rglob("*.json") if file.name in LEARNT}
        kept = [path for path in files if (folder / path).is_file()]
        changed = [path for path in kept if _learnt(folder / path) != _learnt(files[path])]
    if changed:
        raise RefusedError(
            f"the run cannot go on with another {listed(changed)}",
            because="the code that makes it has changed since the run began, and its weights belong to the old one",
            fix="go back to the code that it began with (manifest.json names its commit), or start a new run",
            where=Where(file=str(folder / changed[0])),
            code="refused.other-context",
        )


def _learnt(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key not in ("truncation", "padding")}  # of its last call


def _tell_same_files(splits: Splits, checksums: Mapping[str, Mapping[str, str]]) -> None:
    """Say which files of rows are the same, above all where a model is measured on what it is trained on."""
    same: dict[str, list[str]] = {}
    for split, path in ((split, path) for split, paths in splits.files.items() for path in paths):
        # of a folder only names and sizes are known; of a file with several splits each reads its own rows
        if path.is_file() and not splits.schema(split).format_of(path).splits(path):
            same.setdefault(checksums[split][str(path)], []).append(f"{split}: {path}")
    for places in same.values():
        if len(places) > 1:
            log.warning("the same rows are read more than once, as %s", listed(places))


def _rows_left_out(left_out: Mapping[str, Sequence[Finding]]) -> Iterator[dict[str, Any]]:
    for split, findings in left_out.items():
        for finding in findings:
            origin = finding.origin
            yield {"split": split, "file": origin.file, "line": origin.line, "error": finding.message}


def _as_json_line(row: dict[str, Any]) -> str:
    return discreet(json.dumps(row, ensure_ascii=False)) + "\n"

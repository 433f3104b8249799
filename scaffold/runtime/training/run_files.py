"""What every run writes down before its first step, whatever trains it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scaffold.errors import listed
from scaffold.runtime.config.secrets import discreet
from scaffold.runtime.files import write_text
from scaffold.runtime.reading.formats import FORMATS, Format
from scaffold.runtime.reading.rows import Finding
from scaffold.runtime.training.manifest import manifest, refuse_other_data, refuse_other_engine
from scaffold.runtime.training.run import Run

log = logging.getLogger(__name__)


def refuse_other_start(run: Run, data: Any, engine: str = "lightning") -> None:
    """Raise RefusedError when a run would go on with another training loop, or with other data, than it began with."""
    if run.resume_from:
        refuse_other_engine(run.folder, engine)
        refuse_other_data(run.folder, data.files)


def write_run_files(run: Run, model: Any, data: Any, engine: str = "lightning") -> None:
    """Write the vocabulary, the processor, the manifest and the rows that were left out into the run folder."""
    folder, context = run.folder, model.context
    write_text(
        folder / "vocabulary.json", json.dumps(context.vocabulary.as_dict(), ensure_ascii=False, indent=2) + "\n"
    )
    if hasattr(context.processor, "save_pretrained"):
        context.processor.save_pretrained(str(folder / "tokenizer"))
    elif context.processor is not None:
        write_text(folder / "processor.json", json.dumps(asdict(context.processor), indent=2) + "\n")
    facts = manifest(run, model, data.files, engine)
    write_text(folder / "manifest.json", discreet(json.dumps(facts, indent=2, ensure_ascii=False)) + "\n")
    if not run.resume_from:
        _tell_same_files(data.files, facts["data"], model.sample_type.formats)
    if any(data.left_out.values()):
        write_text(folder / "skipped_rows.jsonl", "".join(map(_as_json_line, _rows_left_out(data.left_out))))


def _tell_same_files(
    files: Mapping[str, Sequence[Path]], checksums: Mapping[str, Mapping[str, str]], own: Mapping[str, Format]
) -> None:
    """Say which files of rows are the same, above all where a model is measured on what it is trained on."""
    same: dict[str, list[str]] = {}
    for split, path in ((split, path) for split, paths in files.items() for path in paths):
        form = FORMATS.get(path.suffix.lower())
        if path.suffix.lower() not in own and form and not form.splits(path):  # else a file may hold several splits
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

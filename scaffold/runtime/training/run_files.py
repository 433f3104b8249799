"""What every run writes down before its first step, whatever trains it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scaffold.runtime.config.secrets import discreet
from scaffold.runtime.files import write_text
from scaffold.runtime.reading.rows import Finding
from scaffold.runtime.training.manifest import manifest, refuse_other_data, refuse_other_engine
from scaffold.runtime.training.run import Run


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
    facts = json.dumps(manifest(run, model, data.files, engine), indent=2, ensure_ascii=False)
    write_text(folder / "manifest.json", discreet(facts) + "\n")
    if any(data.left_out.values()):
        write_text(folder / "skipped_rows.jsonl", "".join(map(_as_json_line, _rows_left_out(data.left_out))))


def _rows_left_out(left_out: Mapping[str, Sequence[Finding]]) -> Iterator[dict[str, Any]]:
    for split, findings in left_out.items():
        for finding in findings:
            origin = finding.origin
            yield {"split": split, "file": origin.file, "line": origin.line, "error": finding.message}


def _as_json_line(row: dict[str, Any]) -> str:
    return discreet(json.dumps(row, ensure_ascii=False)) + "\n"

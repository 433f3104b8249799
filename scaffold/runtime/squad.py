"""How rows give answers: in fields of their own, or as SQuAD's files do, and what may be wrong with them."""

from __future__ import annotations

import json
import re
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import chain, repeat
from typing import IO, Any, ClassVar, Self

from scaffold.errors import listed, shown
from scaffold.runtime.reading.cells import load_object
from scaffold.runtime.reading.formats import Decode, Format, Schema
from scaffold.runtime.reading.lines import UTF8_BOM, Line, cut_lines, file_error, text_of
from scaffold.runtime.samples import BadRow, Sample

SEPARATOR = "|"
IMPOSSIBLE, TWICE = "is_impossible", "first at line"
SHAPE = 'write {"data": [{"paragraphs": [{"context": "…", "qas": [{"question": "…", "answers": […]}]}]}]}'
SAY_NONE = 'mend these lines: a question without an answer has "answers": [], and in SQuAD 2 "is_impossible": true'
OWN_ID = "give every question an id of its own, or leave ids out"
QUESTION_KEY = re.compile(r'"question"\s*:')  # no text in JSON can hold it: its quotes would be escaped


@dataclass
class AnswerSample(Sample):
    """A question about a context, and its answer: characters of the context, the end exclusive.

    answers: all texts that are right; where it is left out, the text at the place is. A question that has no answer, or
    that is to be answered, has none of the three.
    """

    aliases: ClassVar[Mapping[str, str]] = {"query": "question"}

    context: str
    question: str
    answer_start: int | None = None
    answer_end: int | None = None
    answers: list[str] | None = None

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Self:
        """Return the sample of a row, whose answers may be given in several ways (`unfold_answers`); raises BadRow."""
        return super().parse(unfold_answers(fields))

    def check(self) -> None:
        """Raise BadRow where the answer is not at its place."""
        check_answer(self.context, self.answer_start, self.answer_end, self.answers)

    @property
    def span(self) -> tuple[int, int] | None:
        """The characters of the answer; None where there is none."""
        return None if self.answer_start is None or self.answer_end is None else (self.answer_start, self.answer_end)

    @property
    def right(self) -> list[str]:
        """All texts that are right; none where there is no answer."""
        return self.answers or ([self.context[slice(*self.span)]] if self.span else [])


def unfold_answers(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row's fields with `answers` as a list of texts, and with the place of the first where they name it.

    Read are texts joined by `|`, a list of texts, and SQuAD's `[{"text": …, "answer_start": …}]`, also turned around as
    `{"text": […], "answer_start": […]}`. Raises BadRow.
    """
    found, answers = dict(fields), fields.get("answers")
    if isinstance(answers, str):
        found["answers"] = [text for text in answers.split(SEPARATOR) if text]
    pairs = _squad_pairs(answers)
    if pairs is None:
        return found
    if pairs and found.get("answer_start") is None:
        text, start = pairs[0]
        found |= {"answer_start": start, "answer_end": start + len(text)}
    return found | {"answers": list(dict.fromkeys(text for text, _ in pairs))}


def _squad_pairs(answers: Any) -> list[tuple[str, int]] | None:
    """Return texts and places where answers are given as SQuAD does; None where they are not."""
    single = isinstance(answers, list) and any(isinstance(one, dict) for one in answers)
    if not (single or isinstance(answers, dict)):
        return None
    try:
        columns = ("text", "answer_start")
        pairs = [tuple(one[key] for key in columns) for one in answers] if single else None
        pairs = pairs or list(zip(*(answers[key] for key in columns), strict=True))
    except (KeyError, TypeError, ValueError):
        pairs = [(None, None)]
    if any(not isinstance(text, str) or type(start) is not int for text, start in pairs):
        raise BadRow(f"expected answers with a 'text' and a whole number as 'answer_start' each, got {shown(answers)}")
    return pairs  # type: ignore[return-value]


def check_answer(context: str, start: int | None, end: int | None, answers: Sequence[str] | None) -> None:
    """Raise BadRow unless an answer's characters are in the context and are one of the answers that are right."""
    if any(not text.strip() for text in answers or ()):
        raise BadRow("expected the text of every answer, got an empty one", fix=SAY_NONE)
    hint = _hint(context, answers[0]) if answers else ""
    if start is None and end is None:
        if answers:
            raise BadRow(f"expected answer_start and answer_end beside the answer {shown(answers[0])}, got none{hint}")
        return
    if start is None or end is None:
        raise BadRow(f"expected both answer_start and answer_end, got {start} and {end}")
    if not 0 <= start < end <= len(context):
        size = f"{len(context)} characters"
        raise BadRow(f"expected an answer within the {size} of the context, got one from {start} to {end}{hint}")
    text = context[start:end]
    if answers and text not in answers:
        raise BadRow(f"expected the answer {shown(answers[0])} at {start} to {end}, got {shown(text)}{hint}")
    if not text.strip():
        raise BadRow(f"expected an answer at {start} to {end}, got only {shown(text)}")


def _hint(context: str, answer: str) -> str:
    """Return where in a context the text of an answer really is."""
    start = context.find(answer)
    if start < 0:
        return "; that text is nowhere in the context"
    again = ", and again later" if context.find(answer, start + 1) >= 0 else ""
    return f"; did you mean {start} to {start + len(answer)}, where that text is{again}?"


class SquadJson(Format):
    """SQuAD's own files, of version 1 and 2: articles that have paragraphs that have questions; a row is a question.

    The file is held in memory while it is unfolded into one question a line. A row's line is that of its question.
    """

    def unfolded(self, handle: IO[bytes], name: str) -> IO[bytes]:
        """Return an unnamed file with a question a line: its line in the given file, a tab, and a JSON object."""
        text = _whole_text(handle.read(), name)
        try:
            rows = list(_questions(load_object(text))) if text.strip() else []
        except BadRow as problem:
            raise file_error(
                name,
                "The file is not as SQuAD's are.",
                because=str(problem),
                fix=f"{SHAPE}; a file of one object a line is named .jsonl",
                line=problem.below + 1 if problem.below else None,
            ) from None
        unfolded = tempfile.TemporaryFile()  # noqa: SIM115 - whoever reads the rows closes it
        lines = chain(_lines(text, len(rows)), repeat(1))
        first: dict[str | None, tuple[int, dict[str, Any]]] = {}  # the line and row that an id first stands for
        for line, row in zip(lines, rows, strict=False):
            key = None if row["id"] is None else str(row["id"])  # a question may be called "None"
            before, same = first.setdefault(key, (line, row))
            twice = {TWICE: before} if row["id"] is not None and row != same else {}
            unfolded.write(f"{line}\t{json.dumps(row | twice, ensure_ascii=False)}\n".encode())
        unfolded.seek(0)
        return unfolded

    def rows(self, lines: Iterator[Line], max_bytes: int) -> Iterator[Line]:  # noqa: ARG002 - a line is a row
        """Take each row's line number in the original file off its front."""
        for line in lines:
            number, tab, raw = line.raw.partition(b"\t")
            yield line._replace(number=int(number), offset=line.offset + len(number + tab), raw=raw) if tab else line

    def decoder(self, schema: Schema, header: list[str] | None, name: str) -> Decode:  # noqa: ARG002 - no header
        """Return what makes a sample of a question."""
        return _Question(schema)


@dataclass(frozen=True)
class _Question:
    """Makes a sample of an unfolded question; what is wrong with it is said with its id."""

    schema: Schema

    def __call__(self, raw: bytes) -> Sample:
        fields = json.loads(raw)
        before, impossible = fields.pop(TWICE, None), fields.pop(IMPOSSIBLE)
        try:
            if not self.schema.carry:  # rows to be predicted need not know their answers
                _refuse_contradiction(fields["answers"], impossible, before)
            return self.schema.sample(fields | ({"answers": []} if impossible else {}))
        except BadRow as problem:
            problem.row_id = fields.get("id")
            raise


def _refuse_contradiction(answers: Any, impossible: Any, before: int | None) -> None:
    """Raise BadRow for a question that has an answer and has none, and for one whose id another one has."""
    texts = unfold_answers({"answers": answers})["answers"]
    if impossible and texts:
        given = listed(map(shown, texts))
        raise BadRow(f"expected no answers where 'is_impossible' is true, got {given}", fix=SAY_NONE)
    if not impossible and answers is None:
        raise BadRow("expected 'answers', got none", fix=SAY_NONE)
    if impossible is False and not texts:
        raise BadRow("expected an answer where 'is_impossible' is false, got none", fix=SAY_NONE)
    if before is not None:
        raise BadRow(f"expected an id of its own, got that of another question, at line {before}", fix=OWN_ID)


def _whole_text(raw: bytes, name: str) -> str:
    """Return the text of a file; raises DataError, which names the line, where it is not clean UTF-8."""
    try:
        return text_of(raw.removeprefix(UTF8_BOM))
    except BadRow:
        for line in cut_lines(BytesIO(raw), name, len(raw) + 1):  # it names what is no text at all
            try:
                text_of(line.raw)
            except BadRow as problem:
                because = str(problem).replace("the row", "the line")
                fix = "mend this line, or write the file anew as UTF-8"
                raise file_error(name, "The file is not text.", because=because, fix=fix, line=line.number) from None
        raise


def _questions(found: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for number, article in enumerate(_inside(found, "data", "the file")):
        title = f" ({shown(article['title'])})" if isinstance(article, dict) and "title" in article else ""
        place = f"data[{number}]{title}"
        for part, paragraph in enumerate(_inside(article, "paragraphs", place)):
            yield from _asked(paragraph, f"paragraphs[{part}] of {place}")


def _asked(paragraph: Any, place: str) -> Iterator[dict[str, Any]]:
    """Yield the questions of one paragraph, each with its context."""
    for number, question in enumerate(_inside(paragraph, "qas", place)):
        if "context" not in paragraph:
            raise BadRow(f"expected 'context' in {place}, got {listed(map(shown, paragraph))}")
        if not isinstance(question, dict):
            raise BadRow(f"expected an object as qas[{number}] of {place}, got {shown(question)}")
        keys = ("question", "answers", "id", IMPOSSIBLE)
        yield {"context": paragraph["context"]} | {key: question.get(key) for key in keys}


def _inside(found: Any, key: str, place: str) -> list[Any]:
    """Return the list that stands under a key; raises BadRow, which names the place, where there is none."""
    if not isinstance(found, dict):
        raise BadRow(f"expected an object as {place}, got {shown(found)}")
    if not isinstance(found.get(key), list):
        got = shown(found[key]) if key in found else f"only {listed(map(shown, found)) or 'nothing'}"
        raise BadRow(f"expected a list '{key}' in {place}, got {got}")
    return found[key]


def _lines(text: str, count: int) -> list[int]:
    """Return the line of every question; none where their keys do not say which is which."""
    ends = [match.start() for match in re.finditer("\n", text)]
    lines = [bisect_right(ends, match.start()) + 1 for match in QUESTION_KEY.finditer(text)]
    return lines if len(lines) == count else []

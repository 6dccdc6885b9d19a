"""Questions with known answers, one JSON object per line (client/README.md has the format)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from unicodedata import normalize

from triton_rag.evaluation.text import holds, normalized, one_line

ALL = "all"
"""Name for the figures of all questions together: no split may have it."""
MOST_FAULTS = 10
"""Most faults that are shown; more are only counted."""


class QuestionsError(Exception):
    """The file can't be used; the message names the lines."""


@dataclass(frozen=True)
class Question:
    """A question, and what is known about its answer; without `answers` it has none."""

    id: str
    question: str
    document: str = ""
    """File with the answer, by its path below the documents' folder."""
    answers: tuple[str, ...] = ()
    """A right answer has at least one of these."""
    evidence: str = ""
    """The document's words that give the answer, verbatim except for spaces."""
    folder: str = ""
    """Sub-folder whose documents are sent with the question; if empty, all documents are sent."""
    split: str = ""
    """Name of a group of questions that has figures of its own."""
    line: int = 0

    @property
    def is_answerable(self) -> bool:
        return bool(self.answers)


def read_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a file; raises `QuestionsError`, which names every line at fault."""
    found: dict[str, Question] = {}
    faults: list[str] = []
    for number, text in enumerate(_lines(path), start=1):
        if not text.strip():
            continue
        try:
            question = _question(text, number)
        except ValueError as error:
            faults.append(f"line {number}: {error}")
            continue
        if first := found.get(question.id):
            faults.append(f"line {number}: id '{question.id}' is that of line {first.line} too")
        found[question.id] = question
    _raise(path, faults)
    if not found:
        raise QuestionsError(f"{path}: no questions")
    return tuple(found.values())


def check(path: Path, questions: Sequence[Question], documents: Mapping[str, str]) -> None:
    """Raises `QuestionsError` unless every answer is in its document.

    `documents` are texts by their path below the documents' folder.
    """
    faults = ((q.line, fault) for q in questions if (fault := _fault(q, documents)))
    _raise(path, [f"line {line}: {fault}" for line, fault in faults])


def check_names(path: Path, questions: Sequence[Question], documents: Collection[str]) -> None:
    """Raises `QuestionsError` unless the document of every answer is there."""
    missing = (q for q in questions if q.is_answerable and q.document not in documents)
    _raise(path, [f"line {q.line}: {_unknown(q.document, documents)}" for q in missing])


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise QuestionsError(f"{path}: not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise QuestionsError(f"{path}: {error.strerror or 'can not be read'}") from error


def _raise(path: Path, faults: list[str]) -> None:
    if faults:
        rest = len(faults) - MOST_FAULTS
        more = [f"and {rest} more"] if rest > 0 else []
        raise QuestionsError("\n".join([f"{path}:", *faults[:MOST_FAULTS], *more]))


def _question(text: str, number: int) -> Question:
    """The question of one line; raises `ValueError` without the user's texts in its message."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep or too large"
        raise ValueError(f"not JSON: {reason}") from error
    if not isinstance(given, dict):
        raise ValueError("not a JSON object")
    known = [field.name for field in fields(Question) if field.name != "line"]
    for name, value in given.items():
        if name not in known:
            raise ValueError(f"no field '{name[:40]}' is known; possible are {', '.join(known)}")
        _require_type(name, value)
    if missing := [name for name in ("id", "question") if name not in given]:
        raise ValueError(f"no field {' and '.join(map(repr, missing))}")
    paths = {name: normalize("NFC", given.get(name, "")) for name in ("document", "folder")}
    answers = tuple(given.get("answers", ()))
    question = Question(**{**given, **paths, "answers": answers, "line": number})
    _require_whole(question)
    return question


def _require_type(name: str, value: Any) -> None:
    if name == "answers":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ValueError("'answers' must be a list of strings")
        if not all(normalized(answer) for answer in value):
            raise ValueError("'answers' has an empty one")
    elif not isinstance(value, str):
        raise ValueError(f"'{name}' must be a string")


def _require_whole(question: Question) -> None:
    for name in ("id", "question"):
        if not getattr(question, name).strip():
            raise ValueError(f"'{name}' is empty")
    if question.split == ALL:
        raise ValueError(f"'split' is '{ALL}', which names all questions together")
    parts = {"document": question.document, "answers": question.answers}
    parts["evidence"] = question.evidence.strip()
    given = [name for name, value in parts.items() if value]
    if given and (missing := [name for name in parts if name not in given]):
        raise ValueError(
            f"{', '.join(given)} without {', '.join(missing)}; an answerable question has all "
            "three, another one none"
        )


def _unknown(document: str, documents: Collection[str]) -> str:
    alike = get_close_matches(document, documents, n=1)
    return f"no document '{document}'" + (f"; there is '{alike[0]}'" if alike else "")


def _fault(question: Question, documents: Mapping[str, str]) -> str:
    if not question.is_answerable:
        return ""
    text = documents.get(question.document)
    if text is None:
        return _unknown(question.document, documents)
    inside = f"{question.folder.rstrip('/')}/" if question.folder else ""
    if not question.document.startswith(inside):
        return f"document '{question.document}' is not in folder '{question.folder}'"
    if one_line(question.evidence) not in one_line(text):
        return f"the evidence is not in '{question.document}'"
    if not holds(question.evidence, question.answers):
        return "no answer is in the evidence"
    return ""

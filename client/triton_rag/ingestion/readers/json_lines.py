"""Records of JSON, one per line (.jsonl, .ndjson): their texts, under their titles."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from itertools import islice

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.tables import MAX_ROWS

_TEXTS = ("text", "content")
_FORM = '{"text": "…"}, or {"title": "…", "text": "…"}'
_TOO_MANY = f"only the first {MAX_ROWS:,} lines are read"


def read(data: bytes) -> FileText:
    blocks, lines = Blocks(), io.StringIO(decoded(data))
    for number, line in enumerate(islice(lines, MAX_ROWS), start=1):
        if line.strip():
            title, text = _record(line, number)
            blocks.record(number)
            blocks.heading(1, title)
            blocks.paragraph(text)
    remarks = (_TOO_MANY,) if next(lines, "") else ()
    return replace(blocks.file_text(), title="", remarks=remarks)


def _record(line: str, number: int) -> tuple[str, str]:
    """The title of a line's record, empty where there is none, and its text."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise Unreadable(f"line {number:,} is not JSON; each line is {_FORM}") from error
    fields = record if isinstance(record, dict) else {}
    text = next((fields[name] for name in _TEXTS if isinstance(fields.get(name), str)), None)
    if text is None:
        raise Unreadable(f"line {number:,} has no text; each line is {_FORM}")
    title = fields.get("title")
    return title if isinstance(title, str) else "", text

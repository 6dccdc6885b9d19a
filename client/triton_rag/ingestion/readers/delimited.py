"""Values with delimiters (.csv, .tsv): a line for each row, with the names of the columns."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import replace
from itertools import islice

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.tables import MAX_ROWS, TOO_MANY, add_rows

_DELIMITERS = ",;\t|"
_LOOKED_AT = 30
"""Number of lines from which the delimiter is guessed."""
_LONGEST_CELL = 2**20
"""Most characters of a cell: a longer one comes from a quotation mark that is never closed."""


def read(data: bytes) -> FileText:
    found, blocks = _rows(decoded(data)), Blocks()
    rows = [[" ".join(cell.split()) for cell in row] for row in found[:MAX_ROWS]]
    add_rows(rows, 1, blocks)
    remarks = (TOO_MANY,) if len(found) > MAX_ROWS else ()
    return replace(blocks.file_text(), remarks=remarks)


def _rows(text: str) -> list[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
        return list(islice(lines, MAX_ROWS + 1))
    except csv.Error as error:
        raise Unreadable(f"not a table: {error}") from error


def _delimiter(text: str) -> str:
    """The delimiter that divides most lines into the same number of cells, more than one."""
    sample = list(islice(io.StringIO(text), _LOOKED_AT))
    scores = {}
    for delimiter in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(sample, delimiter=delimiter))
        scores[delimiter] = max(
            ((count, width) for width, count in widths.items() if width > 1), default=(0, 0)
        )
    return max(scores, key=lambda delimiter: scores[delimiter])

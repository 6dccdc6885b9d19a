"""Rows of tables, each in one line that names its columns: "part: Oar; price: 4.5"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from triton_rag.ingestion.file_text import Blocks

Row = Sequence[str]
"""The cells of a row, including empty ones; each is one line."""

MAX_ROWS = 100_000
"""Most rows of one table that are read; a table with more is a database."""
TOO_MANY = f"only the first {MAX_ROWS:,} rows are read"

_LOOKED_AT = 20
"""Number of first rows in which the header is searched."""
_WIDE = 0.6
"""Least share of the widest row's cells that a header has: titles have fewer."""
_LONGEST_NAME = 80
_NUMBER = re.compile(r"[^\w]*\d")
_YEAR = re.compile(r"(19|20)\d\d$")


def add_rows(rows: Sequence[Row], first: int, blocks: Blocks) -> None:
    """Adds a table whose first row has the number `first`, without rows with the names of columns,
    which some tables repeat. Rows are the pages of the text."""
    header = _header(rows)
    for index, row in enumerate(rows):
        if any(row) and (header is None or row != rows[header]):
            names = rows[header] if header is not None and index > header else ()
            blocks.page(first + index)
            blocks.paragraph(row_line(row, names))


def row_line(row: Row, names: Row) -> str:
    """A row in one line, each cell after the name of its column, if there are names."""
    if not names:
        return " | ".join(cell for cell in row if cell)
    return "; ".join(_named(row, names))


def _named(row: Row, names: Row) -> Iterator[str]:
    for column, cell in enumerate(row):
        name = names[column] if column < len(names) else ""
        if cell:
            yield f"{name}: {cell}" if name else cell


def _header(rows: Sequence[Row]) -> int | None:
    """The index of the row that names the columns: the first wide row, if it has only words and
    there are rows below it."""
    counts = [sum(map(bool, row)) for row in rows[:_LOOKED_AT]]
    widest = max(counts, default=0)
    index = next((i for i, count in enumerate(counts) if count >= max(2, _WIDE * widest)), None)
    if index is None or not _is_header([cell for cell in rows[index] if cell]):
        return None
    return index if any(any(row) for row in rows[index + 1 :]) else None


def _is_header(cells: Row) -> bool:
    is_short = max(map(len, cells)) <= _LONGEST_NAME
    is_named = all(_YEAR.match(cell) or not _NUMBER.match(cell) for cell in cells)
    return is_short and is_named and len(set(cells)) == len(cells)

"""Workbooks (.xlsx, .xls, .ods): a line for each row of each sheet, with the names of the columns.

A formula is read as its result when the file was saved. Each row has the value of cells that are
merged over rows. Hidden sheets are not read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    SheetMetadata,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.archive import OLE, Archive
from triton_rag.ingestion.readers.tables import MAX_ROWS, TOO_MANY, Row, add_rows

_KIND = "a workbook"
_ZIP = b"PK"


def read(data: bytes) -> FileText:
    if data.startswith(_ZIP):
        Archive(data, _KIND)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
        blocks, sheets = Blocks(), [one for one in book.sheets_metadata if _is_read(one)]
        for about in sheets:
            _add(book.get_sheet_by_name(about.name), len(sheets) > 1, blocks)
    except CalamineError as error:
        if data.startswith(OLE):
            raise Unreadable("encrypted, or damaged: save it without a password") from error
        raise Unreadable(f"not {_KIND}, or a damaged one") from error
    return replace(blocks.file_text(), title="", remarks=tuple(_remarks(book)))


def _is_read(about: SheetMetadata) -> bool:
    return about.typ == SheetTypeEnum.WorkSheet and about.visible == SheetVisibleEnum.Visible


def _add(sheet: CalamineSheet, is_named: bool, blocks: Blocks) -> None:
    if sheet.start is None:  # an empty sheet
        return
    first = sheet.start[0] + 1
    if is_named:
        blocks.page(first)
        blocks.heading(1, sheet.name)
    add_rows(_rows(sheet), first, blocks)


def _rows(sheet: CalamineSheet) -> list[Row]:
    rows = [[_text(cell) for cell in row] for row in sheet.to_python(nrows=MAX_ROWS)]
    top, left = sheet.start or (0, 0)
    for (begin, column), (end, _) in sheet.merged_cell_ranges or ():
        for row in rows[begin - top + 1 : end - top + 1]:
            row[column - left] = rows[begin - top][column - left]
    return list(rows)


def _text(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.0f}" if value.is_integer() else f"{value:.12g}"
        case datetime():
            return str(value.date() if value.time() == time() else value)
        case _:
            return " ".join(str(value).split())


def _remarks(book: CalamineWorkbook) -> Iterator[str]:
    hidden = [
        about.name
        for about in book.sheets_metadata
        if about.typ == SheetTypeEnum.WorkSheet and about.visible != SheetVisibleEnum.Visible
    ]
    if hidden:
        yield f"hidden sheets are not read: {', '.join(hidden)}"
    sheets = (book.get_sheet_by_name(one.name) for one in book.sheets_metadata if _is_read(one))
    if any(sheet.height > MAX_ROWS for sheet in sheets):
        yield TOO_MANY

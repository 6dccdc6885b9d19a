"""OpenDocument slides (.odp): titles, text, tables and notes; slides are the pages."""

from __future__ import annotations

from triton_rag.ingestion.file_text import Blocks, FileText
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.opendocument import add, words_of
from triton_rag.ingestion.readers.tree import Element

_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_NO_CONTENT = {"date-time", "footer", "header", "page-number", "page"}
"""Classes of frames that stand on every slide."""


def read(data: bytes) -> FileText:
    blocks = Blocks()
    slides = Archive(data, "OpenDocument slides").xml("content.xml").iter(f"{_DRAW}page")
    for number, slide in enumerate(slides, start=1):
        blocks.page(number)
        for shape in sorted(slide, key=lambda shape: _class(shape) != "title"):
            _add(shape, blocks)
    return blocks.file_text()


def _add(shape: Element, blocks: Blocks) -> None:
    if shape.tag == f"{_PRESENTATION}notes":
        for frame in shape:
            _add(frame, blocks)
    elif _class(shape) == "title":
        blocks.heading(1, words_of(shape))
    elif _class(shape) not in _NO_CONTENT:
        add(shape, blocks)


def _class(shape: Element) -> str:
    return str(shape.get(f"{_PRESENTATION}class", ""))

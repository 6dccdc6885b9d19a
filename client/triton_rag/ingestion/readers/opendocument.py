"""OpenDocument texts (.odt): headings, paragraphs, lists, tables, notes."""

from __future__ import annotations

from triton_rag.ingestion.file_text import Blocks, FileText
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.tree import Element

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_SPACES = {f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"}
_NOT_TEXT = {f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}table-of-content"}


def read(data: bytes) -> FileText:
    blocks = Blocks()
    for body in Archive(data, "an OpenDocument text").xml("content.xml").iter(f"{_OFFICE}text"):
        add(body, blocks)
    return blocks.file_text()


def add(element: Element, blocks: Blocks) -> None:
    """Adds what is inside an element."""
    for child in element:
        if child.tag == f"{_TEXT}h":
            blocks.heading(int(child.get(f"{_TEXT}outline-level", "1")), words_of(child))
        elif child.tag == f"{_TEXT}p":
            blocks.paragraph(words_of(child))
        elif child.tag == f"{_TEXT}list":
            items = (words_of(item) for item in child.iter(f"{_TEXT}p", f"{_TEXT}h"))
            blocks.paragraph("\n".join(f"- {words}" for words in items if words))
        elif child.tag == f"{_TABLE}table":
            rows = (
                list(row.iter(f"{_TABLE}table-cell")) for row in child.iter(f"{_TABLE}table-row")
            )
            lines = ([words_of(cell) for cell in row] for row in rows)
            blocks.paragraph("\n".join(" | ".join(row) for row in lines if any(row)))
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            add(child, blocks)


def words_of(element: Element) -> str:
    """The words of an element, in one line."""
    return " ".join(_text(element).split())


def _text(element: Element) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag in _SPACES:
            parts.append(" ")
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            is_block = child.tag in {f"{_TEXT}p", f"{_TEXT}h", f"{_TEXT}note"}
            parts.append(f" {_text(child)} " if is_block else _text(child))
        parts.append(child.tail or "")
    return "".join(parts)

"""OpenDocument texts (.odt) and slides (.odp): text, lists, tables, notes; slides are the pages."""

from __future__ import annotations

from collections.abc import Iterator

from triton_rag.ingestion.file_text import Blocks, FileText
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.tree import Element

_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_ROW, _CELL = f"{_TABLE}table-row", f"{_TABLE}table-cell"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_BOX = f"{_DRAW}text-box"
"""Element beside the text, such as a figure's caption; it is read after its paragraph."""
_SVG = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_NO_CONTENT = {"date-time", "footer", "header", "page-number", "page"}
"""Classes of frames that are on every slide."""
_SPACES = {f"{_TEXT}s", f"{_TEXT}tab", f"{_TEXT}line-break"}
_BLOCKS = {f"{_TEXT}p", f"{_TEXT}h", f"{_TEXT}note", f"{_SVG}title", f"{_SVG}desc"}
"""Elements that are separate from the words around them."""
_INDEXES = ("bibliography", "alphabetical-index", "illustration-index", "table-index", "user-index")
_NOT_TEXT = {
    *(f"{_TEXT}{index}-source" for index in _INDEXES),  # templates of their entries
    *(f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}table-of-content"),
}


def read(data: bytes) -> FileText:
    content, blocks = Archive(data, "an OpenDocument file").xml("content.xml"), Blocks()
    slides = list(content.iter(f"{_DRAW}page"))
    for body in [] if slides else content.iter(f"{_OFFICE}text"):
        _add(body, blocks)
    for number, slide in enumerate(slides, start=1):
        blocks.page(number)
        for shape in sorted(slide, key=lambda shape: _class(shape) != "title"):
            _add_shape(shape, blocks)
    return blocks.file_text()


def _add_shape(shape: Element, blocks: Blocks) -> None:
    if shape.tag == f"{_PRESENTATION}notes":
        for frame in shape:
            _add_shape(frame, blocks)
    elif _class(shape) == "title":
        blocks.heading(1, _words(shape))
    elif shape.tag not in _NOT_TEXT and _class(shape) not in _NO_CONTENT:
        _add(shape, blocks)


def _class(shape: Element) -> str:
    return str(shape.get(f"{_PRESENTATION}class", ""))


def _add(element: Element, blocks: Blocks) -> None:
    """Adds what is inside an element."""
    for child in element:
        if child.tag == f"{_TEXT}h":
            blocks.heading(int(child.get(f"{_TEXT}outline-level", "1")), _words(child))
        elif child.tag == f"{_TEXT}p":
            blocks.paragraph(_words(child))
            _add_boxes(child, blocks)
        elif child.tag == f"{_TEXT}list":
            items = (_words(item) for item in _outermost(child, {f"{_TEXT}p", f"{_TEXT}h"}))
            blocks.paragraph("\n".join(f"- {words}" for words in items if words))
            _add_boxes(child, blocks)
        elif child.tag == f"{_TABLE}table":
            own = (r for r in child.iter(_ROW) if next(r.iterancestors(child.tag)) is child)
            rows = ([_words(cell) for cell in row.iterchildren(_CELL)] for row in own)
            blocks.paragraph("\n".join(" | ".join(row) for row in rows if any(row)))
            _add_boxes(child, blocks)
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            _add(child, blocks)


def _add_boxes(element: Element, blocks: Blocks) -> None:
    for box in _outermost(element, {_BOX}):
        _add(box, blocks)


def _outermost(element: Element, tags: set[str]) -> Iterator[Element]:
    """Elements with one of the tags inside an element, without those inside each other."""
    for child in element:
        if child.tag in tags:
            yield child
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT:
            yield from _outermost(child, tags)


def _words(element: Element) -> str:
    """The words of an element, in one line."""
    return " ".join(_text(element).split())


def _text(element: Element) -> str:
    parts = [element.text or ""]
    for child in element:
        if child.tag in _SPACES:
            parts.append(" ")
        elif isinstance(child.tag, str) and child.tag not in _NOT_TEXT and child.tag != _BOX:
            parts.append(f" {_text(child)} " if child.tag in _BLOCKS else _text(child))
        parts.append(child.tail or "")
    return "".join(parts)

"""PowerPoint files (.pptx): the text of every slide and its notes; slides are the pages."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from triton_rag.ingestion.file_text import Blocks, FileText
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.tree import Element

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_TITLES = {"title", "ctrTitle"}
_NO_CONTENT = {"dt", "ftr", "hdr", "sldNum", "sldImg"}
"""Placeholders of texts that are on every slide."""
_PRESENTATION = "ppt/presentation.xml"


def read(data: bytes) -> FileText:
    archive, blocks = Archive(data, "a PowerPoint file"), Blocks()
    for number, name in enumerate(_slides(archive), start=1):
        blocks.page(number)
        shapes = list(archive.xml(name).iter(f"{_P}sp", f"{_A}tbl"))
        for shape in sorted(shapes, key=lambda shape: _placeholder(shape) not in _TITLES):
            _add(shape, blocks)
        for diagram in _related(archive, name, "diagramData"):
            blocks.paragraph(_lines(archive.xml(diagram)))
        for notes in _related(archive, name, "notesSlide"):
            for shape in archive.xml(notes).iter(f"{_P}sp"):
                _add(shape, blocks)
    return blocks.file_text()


def _slides(archive: Archive) -> Iterator[str]:
    """The parts of the slides in the order of the show, including hidden slides."""
    targets = _relations(archive, _PRESENTATION)
    for slide in archive.xml(_PRESENTATION).iter(f"{_P}sldId"):
        if found := targets.get(slide.get(f"{_R}id")):
            yield found[1]


def _related(archive: Archive, name: str, kind: str) -> Iterator[str]:
    relations = _relations(archive, name).values()
    yield from (target for of_kind, target in relations if of_kind.endswith(f"/{kind}"))


def _relations(archive: Archive, name: str) -> dict[str, tuple[str, str]]:
    """The other parts that a part refers to, by id: kind and name of each."""
    folder, _, last = name.rpartition("/")
    relations = f"{folder}/_rels/{last}.rels"
    if relations not in archive.names():
        return {}
    return {
        one.get("Id"): (
            one.get("Type", ""),
            posixpath.normpath(posixpath.join(f"/{folder}", one.get("Target", ""))).lstrip("/"),
        )
        for one in archive.xml(relations)
        if one.get("TargetMode") != "External"
    }


def _add(shape: Element, blocks: Blocks) -> None:
    if shape.tag == f"{_A}tbl":
        rows = ([_line(cell) for cell in row.iter(f"{_A}tc")] for row in shape.iter(f"{_A}tr"))
        blocks.paragraph("\n".join(" | ".join(row) for row in rows if any(row)))
    elif _placeholder(shape) in _TITLES:
        blocks.heading(1, _line(shape))
    elif _placeholder(shape) not in _NO_CONTENT:
        blocks.paragraph(_lines(shape))


def _placeholder(shape: Element) -> str:
    found = shape.find(f"{_P}nvSpPr/{_P}nvPr/{_P}ph")
    return "" if found is None else str(found.get("type", ""))


def _lines(element: Element) -> str:
    return "\n".join(filter(None, map(_words, element.iter(f"{_A}p"))))


def _line(element: Element) -> str:
    return " ".join(filter(None, map(_words, element.iter(f"{_A}p"))))


def _words(paragraph: Element) -> str:
    breaks = {f"{_A}br": " ", f"{_A}tab": " "}
    parts = (breaks.get(e.tag, e.text or "") for e in paragraph.iter(f"{_A}t", *breaks))
    return " ".join("".join(parts).split())

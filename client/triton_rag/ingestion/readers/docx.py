"""Word documents (.docx): headings, paragraphs, lists, tables, notes; no headers and footers."""

from __future__ import annotations

import io
import zipfile

import lxml.html
import mammoth

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.tree import Element, add_blocks

_KIND = "a Word document"
_NOTE_MARKS = ".//a[starts-with(@id, 'footnote-ref-') or starts-with(@id, 'endnote-ref-')]"
_BACK = "↑"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def read(data: bytes) -> FileText:
    Archive(data, _KIND)
    try:
        html = mammoth.convert_to_html(
            io.BytesIO(data),
            style_map=_STYLES,
            convert_image=mammoth.images.img_element(lambda image: {}),
        ).value
    except (KeyError, ValueError, zipfile.BadZipFile, OSError, SyntaxError) as error:
        raise Unreadable(f"not {_KIND}, or a damaged one") from error
    blocks = Blocks()
    if html.strip():
        body = lxml.html.fragment_fromstring(html, create_parent="div")
        _put_notes(body)
        add_blocks(body, blocks)
    return blocks.file_text()


def _put_notes(body: Element) -> None:
    """Footnotes and endnotes, which Mammoth puts at the end, follow what they are about."""
    for mark in reversed(body.xpath(_NOTE_MARKS)):
        for note in body.xpath(".//li[@id = $id]", id=mark.get("href", "").removeprefix("#")):
            words = note.text_content().replace(_BACK, "").strip()
            placed = lxml.html.Element("p")
            placed.text = f"{mark.text_content()} {words}"
            block = next(e for e in mark.iterancestors() if e.getparent() is body)
            block.addnext(placed)
            note.drop_tree()

"""Word documents (.docx): headings, paragraphs, lists, tables, notes; no headers and footers."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from itertools import starmap

import lxml.html
import mammoth

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.docx_numbers import W, with_numbers
from triton_rag.ingestion.readers.tree import Element, add_blocks, spaced_text

_KIND = "a Word document"
_NOTE_MARKS = ".//a[starts-with(@id, 'footnote-ref-') or starts-with(@id, 'endnote-ref-')]"
_BACK = "↑"
_STYLES = "word/styles.xml"
_KNOWN_STYLES = (
    "p[style-name='Title'] => h1:fresh",
    "p[style-name='Subtitle'] => p:fresh",
    "p[style-name^='toc '] => !",
)
"""Rules in Mammoth's language; the last one is for the table of contents."""
_LOWEST = 6


def read(data: bytes) -> FileText:
    archive = Archive(data, _KIND)
    found = archive.xml(_STYLES).iter(f"{W}style") if _STYLES in archive.names() else ()
    styles = {style.get(f"{W}styleId"): style for style in found}
    headings = _headings(styles)
    try:
        html = mammoth.convert_to_html(
            io.BytesIO(with_numbers(data, archive, styles, headings)),
            style_map="\n".join([*_KNOWN_STYLES, *starmap(_as_heading, headings.values())]),
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


def _headings(styles: Mapping[str, Element]) -> dict[str, tuple[str, int]]:
    """Name and level, from 1, of the styles of headings, by their ids.

    In a company's template they may have other names than "heading".
    """
    headings = {}
    for key, style in styles.items():
        name, level = style.find(f"{W}name"), _level(style, styles)
        if name is not None and level <= _LOWEST:
            headings[key] = name.get(f"{W}val", ""), level
    return headings


def _as_heading(name: str, level: int) -> str:
    return f"p[style-name={_quoted(name)}] => h{level}:fresh"


def _level(style: Element, styles: Mapping[str, Element]) -> int:
    """A heading's level in this style, from 1: its own, or of the style that it is based on."""
    for _ in styles:
        level, base = style.find(f".//{W}outlineLvl"), style.find(f"{W}basedOn")
        if level is not None:
            return int(level.get(f"{W}val")) + 1
        style = styles.get(base.get(f"{W}val")) if base is not None else None
        if style is None:
            break
    return _LOWEST + 1


def _quoted(name: str) -> str:
    return "'" + name.replace("\\", r"\\").replace("'", r"\'") + "'"


def _put_notes(body: Element) -> None:
    """Move footnotes and endnotes, which Mammoth puts at the end, to what they are about."""
    for mark in reversed(body.xpath(_NOTE_MARKS)):
        for note in body.xpath(".//li[@id = $id]", id=mark.get("href", "").removeprefix("#")):
            words = " ".join(spaced_text(note).replace(_BACK, "").split())
            placed = lxml.html.Element("p")
            placed.text = f"{mark.text_content()} {words}"
            block = next(e for e in mark.iterancestors() if e.getparent() is body)
            block.addnext(placed)
            note.drop_tree()

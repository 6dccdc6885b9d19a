"""E-books (.epub): their chapters, each an HTML page, in the order of reading."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.html import add_page
from triton_rag.ingestion.readers.tree import Element

_CONTAINER = "META-INF/container.xml"
_RIGHTS = "META-INF/encryption.xml"
_PAGES = {"application/xhtml+xml", "text/html"}


def read(data: bytes) -> FileText:
    archive, blocks = Archive(data, "an e-book"), Blocks()
    root = next(archive.xml(_CONTAINER).iter("{*}rootfile"), None)
    package_name = root.get("full-path", "") if root is not None else ""
    package: Element = archive.xml(package_name)
    for name in _chapters(package, posixpath.dirname(package_name)):
        add_page(archive.read(name), blocks)
    found = blocks.file_text(_title(package))
    if not found.text and _RIGHTS in archive.names():
        raise Unreadable("encrypted: its publisher allows certain programs only")
    return found


def _title(package: Element) -> str:
    return next((title.text or "" for title in package.iter("{*}title")), "")


def _chapters(package: Element, folder: str) -> Iterator[str]:
    """The parts that are pages, without the table of contents."""
    items = {item.get("id"): item for item in package.iter("{*}item")}
    named = (items.get(entry.get("idref")) for entry in package.iter("{*}itemref"))
    for item in named:
        if item is not None and item.get("media-type") in _PAGES and not _is_contents(item):
            yield posixpath.normpath(posixpath.join(folder, unquote(item.get("href", ""))))


def _is_contents(item: Element) -> bool:
    return "nav" in item.get("properties", "").split()

"""HTML pages, without menus, scripts and what surrounds the content."""

from __future__ import annotations

import re

import lxml.html

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.tree import add_blocks

_NOT_CONTENT = (
    *("head", "script", "style", "template", "noscript", "svg", "form", "button", "select"),
    *("nav", "footer", "aside", "iframe", "object"),
)
_NO_CONTENT_ROLES = "//*[@role = 'contentinfo' or @role = 'navigation' or @role = 'search']"
_TITLE = "//p[contains(concat(' ', @class, ' '), ' title ')]"
"""What Google Docs writes instead of a title."""
_CONTENT = ("main", "article", "body")
"""Where the content is: the first of these that stands in the page exactly once."""
_CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)|<\?xml[^>]+encoding=["']([\w-]+)""", re.I
)
_BEGINNING_BYTES = 4096
"""An encoding is declared in here, browsers say."""


def read(data: bytes) -> FileText:
    """A page in the encoding that it declares, UTF-8 where it declares none."""
    blocks = Blocks()
    title = add_page(data, blocks)
    return blocks.file_text(title)


def add_page(data: bytes, blocks: Blocks) -> str:
    """Adds what a page contains; its title, empty where it has none. Raises `Unreadable`."""
    try:
        parser = lxml.html.HTMLParser(encoding="utf-8")
        page = lxml.html.document_fromstring(_decoded(data).encode(), parser=parser)
    except (lxml.etree.LxmlError, ValueError) as error:
        raise Unreadable("not an HTML page, or an empty one") from error
    title = page.findtext(".//title") or next((e.text_content() for e in page.xpath(_TITLE)), "")
    for element in [*page.iter(*_NOT_CONTENT), *page.xpath(_NO_CONTENT_ROLES)]:
        if element.getparent() is not None:
            element.drop_tree()
    add_blocks(_content(page), blocks)
    return str(title)


def _decoded(data: bytes) -> str:
    found = _CHARSET.search(data[:_BEGINNING_BYTES])
    name = (found[1] or found[2]).decode() if found else "utf-8"
    try:
        text = data.decode(name)
    except (UnicodeDecodeError, LookupError) as error:
        said = "which it declares" if found else "and it declares no other encoding"
        raise Unreadable(f"not {name[:40].upper()}, {said}") from error
    return re.sub(r"^\ufeff?\s*<\?xml[^>]*>", "", text)


def _content(page: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    found = (list(page.iter(name)) for name in _CONTENT)
    return next((elements[0] for elements in found if len(elements) == 1), page)

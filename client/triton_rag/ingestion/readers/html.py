"""HTML pages, without menus, scripts and other parts around the content."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, lookup
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import lxml.html

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.tree import add_blocks

_NOT_CONTENT = (
    *("head", "script", "style", "template", "noscript", "svg", "select"),
    *("nav", "footer", "aside", "iframe", "object", "ix:header"),
)
_NO_CONTENT_ROLES = "//*[@role = 'contentinfo' or @role = 'navigation' or @role = 'search']"
_FOR_EYES = (
    "//*[@aria-hidden = 'true'][not(@id = //@aria-controls)]"
    " | //a[starts-with(@href, '#') and contains('¶§#↩\ufe0e↑^', normalize-space())]"
)
"""Elements that screen readers skip, unless a button shows them; links of a heading to itself, and
from a note back to the text."""
_NOTE_MARKS = "//sup//a[starts-with(@href, '#')] | //a[starts-with(@href, '#')]/sup"
_AROUND = re.compile(
    r"cookie[\w-]*(?:banner|bar|consent|notice|popup)|consent-?(?:banner|manager)"
    r"|\b(?:no-?print|d-print-none|hidden-print|breadcrumbs?|skip-?link|mw-editsection)\b",
    re.IGNORECASE,
)
"""Classes and ids of elements that are around a page's content, or not printed with it."""
_TURNS = (
    "//a[@accesskey = 'n' or @accesskey = 'p' or @rel = 'next' or @rel = 'prev']"
    "/ancestor::*[self::p or self::ul or self::table][1]"
    "[string-length(.) < 400 and not(.//h1 or .//h2 or .//h3)]"
)
"""The line of links to the pages before and after, as DocBook, Texinfo and blogs write it."""
_CONTENTS = "//*[self::div or self::ul][contains(concat(' ', @class, ' '), ' toc ')]"
_TITLE = "//p[contains(concat(' ', @class, ' '), ' title ')]"
"""The element that Google Docs writes instead of a title."""
_CONTENT = ("//main", "//*[@role = 'main']", "//article", "//body")
"""The element with the content is the first of these that a page has exactly once."""
_NAVIGATION = re.compile(r"<!--Navigation Panel-->.*?<!--End of Navigation Panel-->", re.S)
"""The menu that latex2html puts above and below a page."""
_LEADS_ON = re.compile(rb"""<meta[^>]+http-equiv\s*=\s*["']?refresh\b[^>]+url\s*=""", re.I)
_HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
_LONGEST_NOTE = 400
"""Most characters of a page that only says where another one is."""
_XML = re.compile(r"^\ufeff?\s*<\?xml[^>]*>")
_MARKS = (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE)
_CHARSET = re.compile(
    rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)|<\?xml[^>]+encoding=["']([\w-]+)""", re.I
)
_MEANT = {
    **dict.fromkeys(("iso8859-1", "ascii"), "cp1252"),
    **dict.fromkeys(("gb2312", "gbk"), "gb18030"),
    **dict.fromkeys(("utf-16", "utf-16-le", "utf-16-be"), "utf-8"),
    **{"iso8859-9": "cp1254", "shift_jis": "cp932", "euc_kr": "cp949"},
}
"""The encoding to use for a declared one, as browsers do: mostly a larger one of its kind."""
_MOST_BAD = 0.001
"""Largest share of a page's characters that may be invalid in its encoding."""
_BAD = "\ufffd"
_BEGINNING_BYTES = 4096
"""Bytes within which an encoding must be declared, as in browsers."""


def read(data: bytes) -> FileText:
    """A page in UTF-8 or the encoding that it declares."""
    blocks = Blocks()
    found = blocks.file_text(add_page(data, blocks))
    if len(found.text) < _LONGEST_NOTE and _LEADS_ON.search(data[:_BEGINNING_BYTES]):
        raise Unreadable("it only leads to another page")
    bad = found.text.count(_BAD)
    return replace(found, remarks=(f"{bad} unreadable characters",) if bad else ())


def add_page(data: bytes | str, blocks: Blocks) -> str:
    """Adds the content of a page; returns its title, empty where it has none. A `str`, such as from
    a mail, is decoded already, whatever encoding it declares. Raises `Unreadable`."""
    text = data if isinstance(data, str) else _decoded(data)
    try:
        parser = lxml.html.HTMLParser(encoding="utf-8")
        page = lxml.html.document_fromstring(
            _NAVIGATION.sub("", _XML.sub("", text)).encode(), parser=parser
        )
    except (lxml.etree.LxmlError, ValueError) as error:
        raise Unreadable("not an HTML page, or an empty one") from error
    title = page.findtext(".//title") or next((e.text_content() for e in page.xpath(_TITLE)), "")
    contents = [element for element in page.xpath(_CONTENTS) if _is_of_links(element)]
    around = [*page.xpath(f"{_NO_CONTENT_ROLES} | {_FOR_EYES} | {_TURNS}"), *contents]
    _drop([*page.iter(*_NOT_CONTENT), *around])
    _drop(button for button in list(page.iter("button")) if not _is_label(button))
    # a form with most of the page is the page, as ASP.NET makes it
    _drop(part for part in list(_surrounding(page)) if 2 * _length(part) < _length(page))
    for heading in page.xpath("//*[@role = 'heading']"):
        tag = f"h{heading.get('aria-level')}"
        heading.tag = tag if tag in _HEADINGS else "h2"
    for mark in page.xpath(_NOTE_MARKS):
        if (words := mark.text_content().strip()).isalnum():
            mark.text = f"[{words}]"
            _drop(list(mark))
    add_blocks(_content(page), blocks)
    return str(title)


def _drop(elements: Iterable[lxml.html.HtmlElement]) -> None:
    for element in elements:
        if element.getparent() is not None:
            element.drop_tree()


def _surrounding(page: lxml.html.HtmlElement) -> Iterator[lxml.html.HtmlElement]:
    """Forms, dialogs and elements whose names say that they are not content of the page."""
    yield from page.xpath("//form | //*[@role = 'dialog' or @role = 'alertdialog']")
    yield from page.xpath("//*[@role = 'banner'][not(.//h1)]")
    for element in page.iter():
        if _AROUND.search(f"{element.get('id', '')} {element.get('class', '')}"):
            yield element


def _is_label(button: lxml.html.HtmlElement) -> bool:
    """Whether a button is the heading of the content that it shows, such as an answer; a menu's
    button is not."""
    if any(element.tag in _HEADINGS for element in button.iterancestors()):
        return True
    panels = button.xpath("//*[@id = $id]", id=button.get("aria-controls", ""))
    return any(panel.text_content().strip() and not _is_of_links(panel) for panel in panels)


def _is_of_links(element: lxml.html.HtmlElement) -> bool:
    return 2 * sum(len(link.text_content()) for link in element.iter("a")) > _length(element)


def _length(element: lxml.html.HtmlElement) -> int:
    """Number of characters of an element's text."""
    return len(" ".join(element.text_content().split()))


def _decoded(data: bytes) -> str:
    """The text of a page. Its encoding is that of its first bytes (BOM), else UTF-8 if that is
    valid, as in pages that a browser saved, else the declared one."""
    if data.startswith(_MARKS):
        return decoded(data)
    if not data.isascii():
        with suppress(UnicodeDecodeError):
            return data.decode()
    found = _CHARSET.search(data[:_BEGINNING_BYTES])
    name = (found[1] or found[2]).decode() if found else "utf-8"
    try:
        known = lookup(name).name
        meant = _MEANT.get(known, known)
        return data.decode(meant)
    except UnicodeDecodeError as error:
        text = data.decode(meant, errors="replace")
        if text.count(_BAD) > _MOST_BAD * len(text):
            said = "which it declares" if found else "and it declares no other encoding"
            raise Unreadable(f"not {name[:40].upper()}, {said}") from error
        return text
    except LookupError as error:
        raise Unreadable(f"in an unknown encoding, {name[:40]!r}: convert it to UTF-8") from error


def _content(page: lxml.html.HtmlElement) -> lxml.html.HtmlElement:
    found = (page.xpath(path) for path in _CONTENT)
    return next((elements[0] for elements in found if len(elements) == 1), page)

"""Blocks of a tree of HTML elements: headings, paragraphs, lists, tables and code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from triton_rag.ingestion.file_text import Blocks

Element = Any
"""An element of lxml, which carries no types."""

_HEADING = re.compile(r"h([1-6])$")
_LISTS = {"ul", "ol", "menu"}
_CELLS = {"td", "th"}
_PARAGRAPHS = {"p", "div"}
INLINE = {
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em"),
    *("font", "i", "img", "ins", "kbd", "label", "mark", "q", "s", "samp", "small", "span"),
    *("strike", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr"),
}
_MOST_SPANNED = 1000
"""Most rows or columns that a cell spans, as in browsers."""
_LONGEST_REPEATED = 80
"""Most characters of a cell that is repeated in each row that it spans."""
_LONG_CELL = 3
"""Paragraphs of a cell with which a table is a layout."""
_BREAK = "br"
_SPACES = re.compile(r"[ \t\r\n\f]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
"""Marks of places where a word may or may not be divided; questions don't have them."""
_TABLES_SHARE = 0.5
"""A table is a layout of the page if a larger share of its cells contains tables."""
_ENUMERATOR = re.compile(r"(?:\(?\w{1,4}[.)])+$|[•‣–—-]$")
_NUMBER = re.compile(r"(?:\d{1,3}\.)?(?:\(\w{1,4}\))+$")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_PERSONAL = ("tel:", "mailto:")
_ROMAN = {1000: "m", 900: "cm", 500: "d", 400: "cd", 100: "c", 90: "xc"} | {
    **{50: "l", 40: "xl", 10: "x", 9: "ix", 5: "v", 4: "iv", 1: "i"}
}
_LINKS_SHARE = 0.8
"""A list or a table is a menu if a larger share of its characters is in links."""


def add_blocks(element: Element, blocks: Blocks) -> None:
    """Adds the content of an element, in order, without menus (lists of nothing but links)."""
    loose = [_words(element.text)]
    for child in element:
        if child.tag == _BREAK or not isinstance(child.tag, str) or _is_inline(child):
            text = spaced_text(child)
            loose.append(text + _gap(child, text))
        else:
            blocks.paragraph(_spaced("".join(loose)))
            _add(child, blocks)
            loose = []
        loose.append(_words(child.tail))
    blocks.paragraph(_spaced("".join(loose)))


def _add(element: Element, blocks: Blocks) -> None:
    if found := _HEADING.match(element.tag):
        blocks.heading(int(found[1]), spaced_text(element))
    elif element.tag == "pre":
        blocks.paragraph("".join(element.itertext()).strip("\r\n"))
    elif element.tag in _LISTS and not _has_headings(element):
        blocks.paragraph("" if _is_menu(element) else "\n".join(_items(element)))
    elif element.tag == "table" and not _is_layout(element):
        for caption in element.iterchildren("caption"):
            blocks.paragraph(" ".join(spaced_text(caption).split()))
        blocks.paragraph("" if _is_menu(element) else "\n".join(_rows(element)))
    elif element.tag != "div" or not _is_line_of_links(element):
        if element.tag == "dl":
            _join_terms(element)
        add_blocks(element, blocks)


def _join_terms(definitions: Element) -> None:
    """Puts terms into the first line of their explanation, so that a quote includes them. Questions
    and headings stay as they are: the text below answers them."""
    terms: list[Element] = []
    for item in definitions.xpath("./dt | ./dd | ./div/dt | ./div/dd"):
        if item.tag == "dt":
            is_heading = _has_headings(item) or spaced_text(item).rstrip().endswith("?")
            terms = [] if is_heading else [*terms, item]
        elif terms and spaced_text(item).strip():
            place = item
            while not (place.text or "").strip() and len(place) and place[0].tag in _PARAGRAPHS:
                place = place[0]
            words = (" ".join(spaced_text(term).split()).rstrip(" :") for term in terms)
            if lead := ", ".join(filter(None, words)):
                colon = "" if _ENUMERATOR.match(lead) else ":"
                place.text = f"{lead}{colon} {place.text or ''}"
            for term in terms:
                term.drop_tree()
            terms = []


def _is_inline(element: Element) -> bool:
    """Whether an element is part of a line; a link around a heading is not."""
    return element.tag in INLINE and all(
        child.tag in INLINE or child.tag == _BREAK
        for child in element.iterdescendants()
        if isinstance(child.tag, str)
    )


def _is_menu(element: Element) -> bool:
    links = [a for a in element.iter("a") if not a.get("href", "").startswith(_PERSONAL)]
    linked = sum(len(spaced_text(link).strip()) for link in links if link.get("href"))
    return len(links) > 1 and linked > _LINKS_SHARE * len(" ".join(spaced_text(element).split()))


def _is_line_of_links(element: Element) -> bool:
    if not all(_is_inline(child) for child in element) or not _is_menu(element):
        return False
    linked = sum(len(spaced_text(link).split()) for link in element.iter("a"))
    return linked >= len(spaced_text(element).split())


def _has_headings(element: Element) -> bool:
    return any(_HEADING.match(e.tag) for e in element.iterdescendants() if isinstance(e.tag, str))


def _is_layout(table: Element) -> bool:
    """Whether a table is the layout of a page: it has headings, tables, or cells with long text."""
    cells = list(_own(table, table.iter(*_CELLS)))
    is_long = any(len(list(_own(table, cell.iter("p", "pre")))) >= _LONG_CELL for cell in cells)
    tables = sum(cell.find(".//table") is not None for cell in cells)
    return is_long or _has_headings(table) or tables > _TABLES_SHARE * len(cells)


def _own(table: Element, elements: Iterable[Element]) -> Iterator[Element]:
    """The elements that belong to the table, not to tables inside it."""
    return (element for element in elements if next(element.iterancestors("table")) is table)


def _items(element: Element, depth: int = 0) -> list[str]:
    """A line for each item, after its number or a dash; items of inner lists are indented."""
    lines = []
    number = whole(element.get("start"), 1) - 1
    for item in element.iterchildren("li"):
        number = whole(item.get("value"), number + 1)
        mark = f"{counted(number, element.get('type'))}." if element.tag == "ol" else "-"
        nested = [child for child in item if child.tag in _LISTS]
        words = " ".join(spaced_text(item, leave_out=nested).split())
        lines += [f"{'  ' * depth}{mark} {words}"] if words else []
        lines += [line for child in nested for line in _items(child, depth + bool(words))]
    return lines


def whole(written: str | None, otherwise: int) -> int:
    """The number of an attribute, or `otherwise` where there is none."""
    return int(written) if written and re.fullmatch(r"-?\d{1,6}", written) else otherwise


def counted(number: int, kind: str | None) -> str:
    """An item's number as its list writes it: as a letter up to z, as a Roman number, or plain."""
    letters = ""
    if kind in ("a", "A") and 0 < number <= 26:
        letters = chr(ord("a") + number - 1)
    elif kind in ("i", "I") and 0 < number < 4000:
        for value, sign in _ROMAN.items():
            letters += number // value * sign
            number %= value
    return (letters.upper() if kind in ("A", "I") else letters) or str(number)


def _rows(table: Element) -> list[str]:
    """A line for each row, with bars between its cells, without columns that only make space."""
    columns = list(zip_longest(*_grid(_own(table, table.iter("tr"))), fillvalue=""))
    kept = [column for column in columns if any(column)]
    filled = (row for row in zip(*kept, strict=True) if any(row))
    return [_row(row[: 1 + max(at for at, c in enumerate(row) if c)]) for row in filled]


def _row(cells: Sequence[str]) -> str:
    """A line for a row; a number and its text are an item of a list, as in laws."""
    is_item = len(cells) == 2 and _ENUMERATOR.match(cells[0])
    return (" " if is_item else " | ").join(cells)


def _grid(rows: Iterable[Element]) -> Iterator[list[str]]:
    """The texts of each row by columns. A cell that spans rows is in each of them unless it is
    long, one that spans columns is in the first. A row without words of its own is left out."""
    held: dict[int, tuple[str, int]] = {}
    for row in rows:
        line: list[str] = []
        for cell in row.iterchildren(*_CELLS):
            line += _held_from(len(line), held)
            words = " ".join(spaced_text(cell).split())
            below = words if len(words) <= _LONGEST_REPEATED else ""
            held[len(line)] = (below, _span(cell, "rowspan"))
            line.append(words)
            for _ in range(_span(cell, "colspan") - 1):
                held[len(line)] = ("", _span(cell, "rowspan"))
                line.append("")
        if spaced_text(row).strip():
            yield [*line, *_held_from(len(line), held)]
        held = {column: (text, count - 1) for column, (text, count) in held.items() if count > 1}


def _held_from(column: int, held: dict[int, tuple[str, int]]) -> list[str]:
    """The texts that cells of the rows above put into this column and those next to it."""
    texts = []
    while column in held:
        texts.append(held[column][0])
        column += 1
    return texts


def _span(cell: Element, name: str) -> int:
    number = cell.get(name, "")
    return min(max(int(number), 1), _MOST_SPANNED) if number.isdecimal() else 1


def spaced_text(element: Element, leave_out: list[Element] | None = None) -> str:
    """The text inside an element, with a space around each block."""
    if element.tag == _BREAK:
        return "\n"
    if not isinstance(element.tag, str):
        return ""
    parts = [_words(element.text)]
    for child in element:
        if child not in (leave_out or []):
            text = spaced_text(child)
            text = text if child.tag in INLINE or child.tag == _BREAK else f" {text} "
            parts.append(text + _gap(child, text))
        parts.append(_words(child.tail))
    text = "".join(parts)
    return text.translate(_SUPERSCRIPTS) if element.tag == "sup" and text.isdecimal() else text


def _gap(element: Element, text: str) -> str:
    """A space where only a style sheet separates two parts of a line: links, or a number and its
    text."""
    after = element.getnext()
    if element.tail or after is None:
        return ""
    return " " if element.tag == after.tag == "a" or _NUMBER.match(text.strip()) else ""


def _words(text: str | None) -> str:
    """A text of the source, in which a line break means a space."""
    return _SPACES.sub(" ", _INVISIBLE.sub("", text or ""))


def _spaced(text: str) -> str:
    """The text with single spaces and no blank lines; the remaining breaks are `br`s."""
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)

"""The numbers of clauses and headings in Word documents, which only contain the rules for them.

Word counts when it shows a document: `numbering.xml` says how each level begins and is written.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import lxml.etree

from triton_rag.ingestion.readers.archive import Archive
from triton_rag.ingestion.readers.tree import Element, counted, whole

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
"""Element with a second copy of a text box, for old programs."""
_NAMES = {"w": W[1:-1]}
_TEXT, _DELETED = ".//w:t[not(ancestor::w:moveFrom)]", ".//w:delText | .//w:moveFrom"
_DOCUMENT, _NUMBERING = "word/document.xml", "word/numbering.xml"
_KINDS = {"lowerLetter": "a", "upperLetter": "A", "lowerRoman": "i", "upperRoman": "I"}
_NOT_NUMBERS = ("bullet", "none")
_PLAIN = re.compile(r"%\d[.)]?|\W?")
"""The form of numbers in plain lists, which Mammoth and HTML know: a level's own number alone."""


def with_numbers(
    data: bytes, archive: Archive, styles: Mapping[str, Element], headings: Container[str]
) -> bytes:
    """The same document, in which all numbers but those of plain lists are written as text.

    `styles` are the styles of paragraphs and numberings, by id. Paragraphs whose style is in
    `headings` get their number as text in any case.
    """
    if not {_DOCUMENT, _NUMBERING} <= set(archive.names()):
        return data
    document = archive.xml(_DOCUMENT)
    numbers = _Numbers(_Rules.read(archive.xml(_NUMBERING), styles), headings)
    for paragraph in document.iter(f"{W}p"):
        if next(paragraph.iterancestors(_FALLBACK), None) is None:
            numbers.count(paragraph)
    return _replaced(data, lxml.etree.tostring(document, encoding="UTF-8", standalone=True))


def _replaced(data: bytes, document: bytes) -> bytes:
    copy = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(copy, "w") as new:
        for name in dict.fromkeys(old.namelist()):
            new.writestr(name, document if name == _DOCUMENT else old.read(name))
    return copy.getvalue()


def _value(element: Element | None, path: str) -> str:
    found = element.find(f"{W}{path}") if element is not None else None
    return "" if found is None else str(found.get(f"{W}val", ""))


@dataclass(frozen=True)
class _Level:
    """How a level of a numbering is written: `text` has %1 for the number of the first level."""

    start: int
    kind: str
    text: str
    is_decimal: bool
    """Whether this level also writes the numbers of the levels above as decimals."""

    @classmethod
    def read(cls, element: Element) -> Self:
        kind = _value(element, "numFmt") or "decimal"
        start = whole(_value(element, "start"), 1)
        return cls(start, kind, _value(element, "lvlText"), element.find(f"{W}isLgl") is not None)

    def number(self, number: int, is_decimal: bool) -> str:
        if self.kind == "decimalZero" and not is_decimal:
            return f"{number:02}"
        return counted(number, None if is_decimal else _KINDS.get(self.kind))


@dataclass(frozen=True)
class _Numbering:
    """A numbering; `starts` are the numbers at which it restarts levels of its kind."""

    kind: str
    levels: Mapping[int, _Level]
    starts: Mapping[int, int]

    @cached_property
    def is_plain(self) -> bool:
        """Whether this is the numbering of a plain list."""
        is_decimal = self.levels[min(self.levels)].kind in ("decimal", *_NOT_NUMBERS)
        return is_decimal and all(_PLAIN.fullmatch(level.text) for level in self.levels.values())


@dataclass(frozen=True)
class _Rules:
    numberings: Mapping[str, _Numbering]
    of_styles: Mapping[str, tuple[str, int]]
    """The numbering of paragraphs of a style, and the level in it."""

    @classmethod
    def read(cls, root: Element, styles: Mapping[str, Element]) -> Self:
        kinds = {each.get(f"{W}abstractNumId"): each for each in root.iter(f"{W}abstractNum")}
        found = {}
        for each in root.iter(f"{W}num"):
            kind = _value(each, "abstractNumId")
            if kind in kinds:
                found[each.get(f"{W}numId")] = _numbering(kind, kinds[kind], each)
        placed = {
            (kind, _value(level, "pStyle")): whole(level.get(f"{W}ilvl"), 0)
            for kind, each in kinds.items()
            for level in each.iter(f"{W}lvl")
        }
        of_styles = {}
        for name in styles:
            number, level = _of_style(name, styles)
            if number in found:
                of_styles[name] = number, placed.get((found[number].kind, name), level)
        return cls(found, of_styles)


def _numbering(kind: str, rules: Element, own: Element) -> _Numbering:
    levels = {whole(e.get(f"{W}ilvl"), 0): _Level.read(e) for e in rules.iterchildren(f"{W}lvl")}
    starts = {}
    for changed in own.iterchildren(f"{W}lvlOverride"):
        level = whole(changed.get(f"{W}ilvl"), 0)
        if start := _value(changed, "startOverride"):
            starts[level] = whole(start, 1)
        for each in changed.iterchildren(f"{W}lvl"):
            levels[level] = _Level.read(each)
    return _Numbering(kind, levels, starts)


def _of_style(name: str, styles: Mapping[str, Element]) -> tuple[str, int]:
    """The numbering of a style, or of the style that it is based on, and the level; "" for none."""
    style = styles.get(name)
    for _ in styles:
        numbered = style.find(f"{W}pPr/{W}numPr") if style is not None else None
        if number := _value(numbered, "numId"):
            return number, whole(_value(numbered, "ilvl"), 0)
        style = styles.get(_value(style, "basedOn"))
    return "", 0


class _Numbers:
    """Counts the paragraphs of a document in order, and writes the numbers into them."""

    def __init__(self, rules: _Rules, headings: Container[str]) -> None:
        self._rules, self._headings = rules, headings
        self._counts: dict[str, dict[int, int]] = {}
        """Counts by kind of numbering: a numbering continues where the last of its kind ended."""
        self._starts: dict[str, dict[int, int]] = {}
        self._begun: set[str] = set()
        self._before: Element | None = None
        self._goes_on = False
        """Whether the current paragraphs continue a list that other text has interrupted."""

    def count(self, paragraph: Element) -> None:
        properties = paragraph.find(f"{W}pPr")
        style = _value(properties, "pStyle")
        number, at = self._place(properties, style)
        numbering = self._rules.numberings.get(number)
        level = numbering.levels.get(at) if numbering else None
        if numbering is None or level is None or level.kind in _NOT_NUMBERS:
            return
        text = paragraph.xpath(_TEXT, namespaces=_NAMES)
        if not text and paragraph.xpath(_DELETED, namespaces=_NAMES):
            return
        label = self._label(number, numbering, at)
        if self._before is None or paragraph.getprevious() is not self._before:
            self._goes_on = self._counts[numbering.kind][at] > max(1, level.start)
        self._before = paragraph
        is_plain = numbering.is_plain and not self._goes_on
        if text and label and not (is_plain and style not in self._headings):
            _write(paragraph, properties, label)

    def _place(self, properties: Element | None, style: str) -> tuple[str, int]:
        number, level = self._rules.of_styles.get(style, ("", 0))
        own = properties.find(f"{W}numPr") if properties is not None else None
        return _value(own, "numId") or number, whole(_value(own, "ilvl"), level)

    def _label(self, number: str, numbering: _Numbering, at: int) -> str:
        counts = self._counts.setdefault(numbering.kind, {})
        starts = self._starts.setdefault(numbering.kind, {})
        for each, level in numbering.levels.items():  # a numbering may have one more than its kind
            starts.setdefault(each, level.start)
        if number not in self._begun:
            self._begun.add(number)
            starts |= numbering.starts
            for restarted in numbering.starts:
                counts.pop(restarted, None)
        counts[at] = counts.get(at, starts[at] - 1) + 1
        for deeper in [level for level in counts if level > at]:
            del counts[deeper]

        def written(mark: re.Match[str]) -> str:
            level = numbering.levels.get(int(mark[1]) - 1)
            if level is None:
                return ""
            number = counts.get(int(mark[1]) - 1, starts[int(mark[1]) - 1])
            return level.number(number, numbering.levels[at].is_decimal)

        return re.sub(r"%([1-9])", written, numbering.levels[at].text).strip()


def _write(paragraph: Element, properties: Element | None, label: str) -> None:
    """Writes the number into a paragraph, and takes the paragraph out of its list."""
    if properties is None:
        return
    for own in properties.findall(f"{W}numPr"):
        properties.remove(own)
    none = lxml.etree.SubElement(properties, f"{W}numPr")
    for name in ("ilvl", "numId"):
        lxml.etree.SubElement(none, f"{W}{name}").set(f"{W}val", "0")
    run = lxml.etree.Element(f"{W}r")
    lxml.etree.SubElement(run, f"{W}t").text = f"{label} "
    properties.addnext(run)

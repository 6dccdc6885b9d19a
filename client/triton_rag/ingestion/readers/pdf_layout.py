"""Finds paragraphs, headings and the title of a PDF, by place and type (font) of its lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from triton_rag.ingestion.readers.pdf_lines import Line

Pages = Sequence[Sequence[Line]]

_SIZE_STEP = 0.5
"""Sizes of type are rounded to multiples of this, in points."""
_LARGER, _TITLE_LARGER = 1.1, 1.2
"""Least size of a heading's type, and of a title's, as a multiple of the text's."""
_BOLDER = 130
_SPACING = 1.2
"""Distance of lines, in sizes of their type, if the file has too few to measure it."""
_FEWEST_GAPS = 5
_PARAGRAPH_GAP = 1.25
"""Paragraphs are farther apart than this multiple of the usual distance of lines."""
_INDENT = (0.6, 4.0)
"""Least and most indentation of a paragraph's first line, in sizes of its type."""
_SENTENCE_END = re.compile(r"[.!?:…。！？؟۔।॥։።။។][\"'”’)\]]*$")
_WORD = re.compile(r"[^\W\d_]{2}")
_UNSPACED = re.compile("[\u3001-\u30ff\u3400-\u9fff\uff01-\uff5e]{2}")
"""Two characters of Chinese or Japanese."""
_NO_HEADING = re.compile(r"[•‣▪◦–—*\-$>#]|.*[,;]$|.*[–—…] *\d*$|(?:.* )?=[ \w]")
_SENTENCE = re.compile(r"(?:\S+ ){5}.*[.。]$")
"""A sentence, which is no heading. It can seem so if most of a file is tables in small type."""
_MOST_LINES, _MOST_CHARACTERS = 3, 150
"""Most lines and characters of a heading."""
_LEAST_BODY = 0.35
"""Least share of the text in its most frequent size; with less, as in scans, sizes mean nothing."""
_OFTEN = 4
"""Words that occur so often as a heading are no heading."""


@dataclass(frozen=True)
class Heading:
    """Where a heading begins in the text of a page; pages are numbered from 0."""

    page: int
    start: int
    level: int
    """The level, from 1 for the largest type."""
    words: str


@dataclass(frozen=True)
class Layout:
    """The text of each page, with an empty line between paragraphs."""

    texts: tuple[str, ...]
    headings: tuple[Heading, ...]
    title: str
    """The largest words of the first page; empty where none are larger than its text."""


@dataclass(frozen=True)
class _Group:
    """Lines that follow each other without a gap, in the same type."""

    page: int
    start: int
    lines: tuple[Line, ...]

    @property
    def words(self) -> str:
        return " ".join(" ".join(line.text for line in self.lines).split())


class _Type:
    """The type of most of the text, and the distances of its lines."""

    def __init__(self, pages: Pages) -> None:
        lines = [line for page in pages for line in page]
        letters = Counter[float]()
        for line in lines:
            letters[_size(line)] += len(line.text)
        self.size, most = letters.most_common(1)[0] if letters else (0.0, 0)
        self.is_clear = most >= _LEAST_BODY * letters.total()
        weights = Counter(line.weight for line in lines if _size(line) == self.size)
        self.weight = weights.most_common(1)[0][0] if weights else 0
        self._gaps = _usual_gaps(pages)
        self._spacing = self._gaps.get(self.size, _SPACING * self.size) / (self.size or 1.0)

    def divides(self, line: Line, after: Line) -> bool:
        """Whether a paragraph ends between two lines of a page."""
        gap = line.end_y - after.y
        usual = self._gaps.get(_size(after), self._spacing * after.size)
        if gap > _PARAGRAPH_GAP * usual:
            return True
        if gap <= 0:  # the next column
            return self._changes(line, after)
        indent = (after.x - line.x) / after.size if after.size else 0.0
        is_indented = _INDENT[0] < indent < _INDENT[1] and _SENTENCE_END.search(line.text)
        return bool(is_indented) or self._changes(line, after)

    def _changes(self, line: Line, after: Line) -> bool:
        """Whether the type changes. A line may begin with a heading or name in slightly larger
        type, and begin or end with code in lighter type."""
        bold = self.weight + _BOLDER
        is_bold = line.weight >= bold, after.weight >= bold
        is_resized = _size(line) != _size(after)
        if is_resized and line.end_size and line.size < _TITLE_LARGER * after.size:
            is_resized = _step(line.end_size) != _size(after)
        return is_resized or is_bold[0] != is_bold[1]

    def is_heading(self, group: _Group) -> bool:
        words, first = group.words, group.lines[0]
        if len(group.lines) > _MOST_LINES or len(words) > _MOST_CHARACTERS:
            return False
        if not _WORD.search(words) or _NO_HEADING.match(words) or _SENTENCE.match(words):
            return False
        if first.size >= _LARGER * self.size:
            return True
        is_bold = min(line.weight for line in group.lines) >= self.weight + _BOLDER
        return is_bold and _size(first) >= self.size and not _SENTENCE_END.search(words)


def lay_out(pages: Pages) -> Layout:
    """The layout of the pages, with their text in the order of the file."""
    kind = _Type(pages)
    texts, groups = [], list[_Group]()
    for number, lines in enumerate(pages):
        text, found = _page(number, lines, kind)
        texts.append(text)
        groups += found
    large = [group for group in groups if kind.is_clear and kind.is_heading(group)]
    return Layout(tuple(texts), tuple(_headings(large)), _title(large, kind.size))


def _page(number: int, lines: Sequence[Line], kind: _Type) -> tuple[str, list[_Group]]:
    text, groups, of_group = "", list[_Group](), list[Line]()
    start = 0
    for at, line in enumerate(lines):
        if at and kind.divides(lines[at - 1], line):
            groups.append(_Group(number, start, tuple(of_group)))
            text, of_group = text + "\n\n", []
            start = len(text)
        elif at:
            text += "" if _is_one_run(lines[at - 1], line) else "\n"
        of_group.append(line)
        text += line.text
    return text, [*groups, _Group(number, start, tuple(of_group))] if of_group else groups


def _is_one_run(line: Line, after: Line) -> bool:
    """Whether Chinese or Japanese continues in the next line, which needs no space between."""
    ends = line.text[-1:] + after.text[:1]
    return bool(_UNSPACED.fullmatch(ends)) and line.end_x >= after.end_x - 2 * line.size


def _headings(groups: Sequence[_Group]) -> Iterator[Heading]:
    counts = Counter(group.words for group in groups)
    groups = [group for group in groups if counts[group.words] < _OFTEN]
    kinds = sorted({_kind(group.lines[0]) for group in groups}, reverse=True)
    for group in groups:
        yield Heading(group.page, group.start, kinds.index(_kind(group.lines[0])) + 1, group.words)


def _title(groups: Iterable[_Group], size: float) -> str:
    first = [group for group in groups if group.page == 0]
    largest = max(first, key=lambda group: _size(group.lines[0]), default=None)
    if largest is None or largest.lines[0].size < _TITLE_LARGER * size:
        return ""
    return largest.words


def _usual_gaps(pages: Pages) -> dict[float, float]:
    """The most frequent distance of lines, for each size of type."""
    gaps: dict[float, Counter[float]] = {}
    for page in pages:
        for line, after in pairwise(page):
            gap = line.end_y - after.y
            if _is_alike(line, after) and 0 < gap < 3 * after.size:
                gaps.setdefault(_size(after), Counter())[_step(gap)] += 1
    found = ((size, *counts.most_common(1)[0]) for size, counts in gaps.items())
    return {size: gap for size, gap, count in found if count >= _FEWEST_GAPS}


def _is_alike(line: Line, after: Line) -> bool:
    return _size(line) == _size(after) and abs(line.weight - after.weight) < _BOLDER


def _kind(line: Line) -> tuple[float, int]:
    return _size(line), line.weight // _BOLDER


def _size(line: Line) -> float:
    return _step(line.size)


def _step(points: float) -> float:
    return round(points / _SIZE_STEP) * _SIZE_STEP

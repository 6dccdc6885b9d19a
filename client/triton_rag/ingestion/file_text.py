"""What a reader makes of a file: one text, and where its sections begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Headings = tuple[str, ...]
"""A heading and those above it, the highest first."""

_LONGEST_HEADING = 200
"""Most characters of a heading: a caption or paragraph in the type of headings is none."""

_TIME = r"\d{1,2}:\d\d(?::\d\d)?"
_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}"
MESSAGE = (
    rf"\u200e?(?:[^\W\d_][^\[\]:\n]{{0,40}} )?\[{_DATE},?[ T]+{_TIME}"
    rf"|\u200e?{_DATE},?[ T]+{_TIME}[^:\n]{{0,40}}(?: - |:\s)"
    rf"|\[?{_TIME}\]?\s+(?:[<*]|-!-|[^\s:][^:\n]{{0,40}}:\s)"
)
"""A pattern: the beginning of a message in an exported chat or log, with its time, maybe after a
name."""

OnPage = Callable[[], None]
"""Called after each page that OCR has read."""


class Unreadable(Exception):
    """No text can be read from the file; the message says why, and what would help."""


@dataclass(frozen=True)
class Section:
    """The part of a text from `start` to the next section."""

    start: int
    """Position in the text, in characters."""
    headings: Headings = ()
    page: int | None = None
    """Number of the page, from 1; None where the format has no pages."""


@dataclass(frozen=True)
class FileText:
    """The text of a file. Its sections are in order, and the first begins at 0."""

    text: str
    sections: tuple[Section, ...] = (Section(0),)
    title: str = ""
    """The file's title; empty where it has none."""
    remarks: tuple[str, ...] = ()
    """A sentence for each part of the file that is not in the text."""
    ocr_pages: int = 0
    """Number of pages whose text was read by OCR."""

    def spans(self) -> Iterator[tuple[Section, int]]:
        """Each section, and where it ends."""
        yield from (
            (section, following.start)
            for section, following in pairwise([*self.sections, Section(len(self.text))])
        )


class Outline:
    """The headings that are open at a point of a text."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, level: int, heading: str) -> Headings:
        """The path to a heading that begins here; it closes those of its level and below."""
        self._open = [entry for entry in self._open if entry[0] < level]
        self._open.append((level, " ".join(heading.split())))
        return tuple(text for _, text in self._open)


def in_sections(text: str, headings: Iterable[tuple[int, int, str]], title: str = "") -> FileText:
    """Divides a text at its headings: where each begins, its level from 1, and its words.

    Empty lines before the first heading belong to its section.
    """
    outline, sections = Outline(), [Section(0)]
    begin = len(text) - len(text.lstrip())
    for start, level, heading in headings:
        path = outline.enter(level, heading)
        if start <= begin:
            sections = [Section(0, path)]
        else:
            sections.append(Section(start, path))
    return FileText(text, tuple(sections), title or first_heading(sections))


def from_lines(lines: Iterable[tuple[int, str]]) -> FileText:
    """A text of lines, each with the level of its heading, from 1, or 0. Of several empty lines in
    a row one is kept."""
    kept, headings, length = list[str](), list[tuple[int, int, str]](), 0
    for level, line in lines:
        if level and line:
            headings.append((length, level, line))
        if line or (kept and kept[-1]):
            kept.append(line)
            length += len(line) + 1
    return in_sections("\n".join(kept), headings)


@dataclass
class Blocks:
    """Makes a text from blocks: headings and paragraphs, with an empty line between them."""

    _parts: list[str] = field(default_factory=list)
    _sections: list[Section] = field(default_factory=lambda: [Section(0)])
    _outline: Outline = field(default_factory=Outline)
    _length: int = 0
    _page: int | None = None

    def heading(self, level: int, text: str) -> None:
        """Add a heading of a level from 1; a blank one is left out, a long one is a paragraph."""
        words = " ".join(text.split())
        if 0 < len(words) <= _LONGEST_HEADING:
            self._begin(self._outline.enter(level, words))
        self.paragraph(words)

    def page(self, number: int) -> None:
        """Begin a page; numbers begin at 1."""
        self._page = number
        self._begin(self._sections[-1].headings)

    def record(self, number: int) -> None:
        """Begin a page that doesn't continue the one before: the headings of that one end."""
        self._page, self._outline = number, Outline()
        self._begin(())

    def paragraph(self, text: str) -> None:
        """Add a paragraph, list or table without an empty line inside; a blank one is left out."""
        if block := text.strip():
            self._parts.append(block + "\n\n")
            self._length += len(block) + 2

    def _begin(self, headings: Headings) -> None:
        while self._sections and self._sections[-1].start >= self._length:
            self._sections.pop()
        self._sections.append(Section(self._length, headings, self._page))

    def file_text(self, title: str = "") -> FileText:
        text = "".join(self._parts).rstrip()
        return FileText(text, tuple(self._sections), title or first_heading(self._sections))


def first_heading(sections: Sequence[Section]) -> str:
    """The first of the highest headings, empty where there is none."""
    return next((section.headings[0] for section in sections if section.headings), "")

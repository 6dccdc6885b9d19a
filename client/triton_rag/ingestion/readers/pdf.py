"""PDF files: their text with its pages, and headings where the file has bookmarks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import pypdfium2

from triton_rag.ingestion.file_text import FileText, Headings, Outline, Section, Unreadable

_PASSWORD = "password"
_HYPHEN_AT_THE_END = re.compile(r"[\ufffe\x02\u00ad]\s*?\n?")
"""What PDFium makes of a word that is divided over two lines."""
_LEADERS = re.compile(r"(?:[ .]\.){4,}|(?: \.){2,}")
"""The dots of a table of contents, each of which would be a token."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SHOWN_RANGES = 5

_EDGE_LINES = 2
"""Lines at the top and at the bottom of a page that may be headers, footers and page numbers."""
_RUNNING_PAGES = 3
"""They are, if so many pages have them."""
_NUMBER = re.compile(r"\d{1,9}")


def read(data: bytes) -> FileText:
    try:
        with pypdfium2.PdfDocument(data) as pdf:
            pages = _without_running_lines([_page_text(page) for page in pdf])
            bookmarks = list(_bookmarks(pdf))
            title = pdf.get_metadata_dict().get("Title", "")
    except pypdfium2.PdfiumError as error:
        if _PASSWORD in str(error).lower():
            raise Unreadable("encrypted: a password is needed") from error
        raise Unreadable("not a PDF, or a damaged one") from error
    if not any(page.strip() for page in pages):
        raise Unreadable(
            f"no text on its {len(pages):,} page{'s' * (len(pages) != 1)}: scanned, it seems; "
            "add a text layer with an OCR program"
        )
    sections = _sections(pages, bookmarks)
    return FileText("\n".join(pages), sections, title, tuple(_remarks(pages)))


def _page_text(page: pypdfium2.PdfPage) -> str:
    text = page.get_textpage().get_text_bounded().replace("\r\n", "\n")
    text = _LEADERS.sub(" – ", _HYPHEN_AT_THE_END.sub("", text))
    return _CONTROL.sub(" ", text).rstrip()


def _without_running_lines(pages: Sequence[str]) -> list[str]:
    """The pages without headers, footers and page numbers. Where words are in it, the first of its
    kind stays: it is a title."""
    edges = [dict(_edges(page, number)) for number, page in enumerate(pages)]
    counts = Counter(kind for page in edges for kind in set().union(*page.values()))
    seen, kept = set[str](), []
    for page, lines in zip(pages, edges, strict=True):
        running = {at: {k for k in lines[at] if counts[k] >= _RUNNING_PAGES} for at in lines}
        is_kept = {at: not kinds or _is_title(kinds, seen) for at, kinds in running.items()}
        seen.update(*running.values())
        kept.append("\n".join(x for at, x in enumerate(page.split("\n")) if is_kept.get(at, True)))
    return kept


def _is_title(kinds: set[str], seen: set[str]) -> bool:
    return not kinds & seen and any(map(str.isalpha, min(kinds)))


def _edges(page: str, number: int) -> Iterator[tuple[int, set[str]]]:
    """The places of the lines at the top and at the bottom of a page, and the kinds of each: the
    line itself, and for each number in it the line with how far that is from the page's own."""
    lines = page.split("\n")
    places = [at for at, line in enumerate(lines) if line.strip()]
    for at in {*places[:_EDGE_LINES], *places[-_EDGE_LINES:]}:
        line = " ".join(lines[at].split())
        found = _NUMBER.finditer(line)
        yield (
            at,
            {line}
            | {
                f"{line[: one.start()]}{int(one[0]) - number:+}{line[one.end() :]}" for one in found
            },
        )


def _bookmarks(pdf: pypdfium2.PdfDocument) -> Iterator[tuple[int, int, str]]:
    """The page from 0, the level from 1 and the words of each bookmark that leads to a page."""
    for mark in pdf.get_toc():
        target = mark.get_dest()
        page = target.get_index() if target else None
        if page is not None and mark.get_title().strip():
            yield page, mark.level + 1, mark.get_title()


def _sections(pages: list[str], bookmarks: list[tuple[int, int, str]]) -> tuple[Section, ...]:
    """One at each page, and one at each bookmark's words on its page.

    A bookmark whose words are not found there counts from the page's beginning.
    """
    outline, sections, start = Outline(), list[Section](), 0
    headings: Headings = ()
    of_page = {page: list(marks) for page, marks in groupby(sorted(bookmarks, key=_page), _page)}
    for number, text in enumerate(pages):
        sections.append(Section(start, headings, number + 1))
        at = 0
        for _, level, words in of_page.get(number, ()):
            at = max(at, _find(words, text, at))
            headings = outline.enter(level, words)
            section = Section(start + at, headings, number + 1)
            sections = [s for s in sections if s.start < section.start] + [section]
        start += len(text) + 1
    return tuple(sections)


def _page(bookmark: tuple[int, int, str]) -> int:
    return bookmark[0]


def _find(words: str, text: str, start: int) -> int:
    """Where a line of these words begins, -1 where there is none."""
    pattern = (
        r"^[ \t]*(?:[\dA-Z][\d.]*[ \t]+)?" + r"\s+".join(map(re.escape, words.split())) + r"[ \t]*$"
    )
    found = re.compile(pattern, re.MULTILINE).search(text, start)
    return found.start() if found else -1


def _remarks(pages: list[str]) -> Iterator[str]:
    """Which pages have no text. Consecutive ones are named as one range."""
    blank = [number for number, page in enumerate(pages, start=1) if not page.strip()]
    ranges: list[list[int]] = []
    for number in blank:
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    shown = [f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in ranges[:_SHOWN_RANGES]]
    if blank:
        more = ", …" if len(ranges) > _SHOWN_RANGES else ""
        plural = "s" if len(blank) > 1 else ""
        yield f"no text on page{plural} {', '.join(shown)}{more} (of {len(pages):,}): scanned?"

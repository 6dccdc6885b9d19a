"""Removes lines that only help to find pages: headers, footers, page numbers, contents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from triton_rag.ingestion.readers.pdf_lines import Line

Page = list[Line]

_EDGE_LINES = 2
"""Lines at the top and at the bottom of a page that may be headers, footers and page numbers."""
_RUNNING_PAGES = 3
"""They are such lines if so many pages have them, or both pages of a file with two."""
_NUMBER = re.compile(r"\d{1,9}")

_ROMAN = re.compile(r"\b[ivxl]+\b")
_LED = re.compile(r" – \s*\d{1,4}$")
"""The dots before a page's number, as `pdf_lines` writes them."""
_ENTRY = re.compile(r"(?P<words>.*[^\W\d_].*?)[\s–….]+(?P<page>\d{1,4})$")
"""A line of a table of contents."""
_ORDINAL = re.compile(r"^(?:[A-Z]|\d[\d.]*)\.?\s+")
_FEWEST_ENTRIES = 3


def without_running_lines(pages: Sequence[Page]) -> list[Page]:
    """The pages without headers, footers and page numbers. The first of equal headers stays if it
    has words: it is a title."""
    edges = [dict(_edges(page, number)) for number, page in enumerate(pages)]
    counts = Counter(kind for page in edges for kind in set().union(*page.values()))
    fewest = min(_RUNNING_PAGES, max(len(pages), 2))
    seen, kept = set[str](), []
    for page, lines in zip(pages, edges, strict=True):
        running = {at: {k for k in lines[at] if counts[k] >= fewest} for at in lines}
        is_kept = {at: not kinds or _is_title(kinds, seen) for at, kinds in running.items()}
        seen.update(*running.values())
        kept.append([line for at, line in enumerate(page) if is_kept.get(at, True)])
    return kept


def without_contents(pages: Sequence[Page]) -> list[Page]:
    """The pages without tables of contents, which answer nothing but resemble every question.

    An entry ends with a page's number, and its words are elsewhere a line of their own.
    """
    lines = Counter(_bare(line.text) for page in pages for line in page)
    kept = []
    for page in pages:
        found = [_entry(line.text, lines) for line in page]
        numbers = [number for number in found if number is not None]
        rising = sum(before <= after for before, after in pairwise(numbers))
        is_contents = len(numbers) >= _FEWEST_ENTRIES and rising >= 0.9 * (len(numbers) - 1)
        rest = [
            x for x, n in zip(page, found, strict=True) if n is None and not _LED.search(x.text)
        ]
        kept.append(rest if is_contents else page)
    return kept


def _entry(text: str, lines: Counter[str]) -> int | None:
    """The page that a line of contents leads to; None for other lines."""
    found = _ENTRY.match(text)
    return int(found["page"]) if found and lines[_bare(found["words"])] else None


def _bare(text: str) -> str:
    """The words of a heading, without its number."""
    return " ".join(_ORDINAL.sub("", text.strip(" –….")).split()).casefold()


def _is_title(kinds: set[str], seen: set[str]) -> bool:
    return not kinds & seen and any(map(str.isalpha, min(kinds)))


def _edges(page: Page, number: int) -> Iterator[tuple[int, set[str]]]:
    """The places of the lines at the top and at the bottom of a page, each with the texts that are
    compared between pages: the line itself, the line without Roman numbers, and for each number in
    it the line with the difference of that number from the page's number."""
    places = range(len(page))
    for at in {*places[:_EDGE_LINES], *places[-_EDGE_LINES:]}:
        line = " ".join(page[at].text.split())
        shifted = (
            f"{line[: one.start()]}{int(one[0]) - number:+}{line[one.end() :]}"
            for one in _NUMBER.finditer(line)
        )
        yield at, {line, _ROMAN.sub("#", line), *shifted}

"""PDF files: their text with its pages, under their bookmarks or what looks like headings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import pypdfium2
import pypdfium2.raw as pdfium

from triton_rag.ingestion.file_text import FileText, Headings, OnPage, Outline, Section, Unreadable
from triton_rag.ingestion.readers.pdf_guessed import unreadable_pages
from triton_rag.ingestion.readers.pdf_layout import Heading, lay_out
from triton_rag.ingestion.readers.pdf_lines import Line, page_lines, undivided
from triton_rag.ingestion.readers.pdf_running import without_contents, without_running_lines

_PASSWORD = "password"
_NO_TITLE = re.compile(
    r"untitled|\(anonymous\)|(microsoft )?(word|powerpoint|excel) - |[a-z]:[/\\]|[^\s/]*/"
    r"|.*\.(docx?|pptx?|xlsx?|odt|tex|dvi|indd|pmd|ps|pdf|rtf|html?|mif)$",
    re.IGNORECASE,
)
"""Names of files, which programs write instead of a title."""
_FEWEST_BOOKMARKS = 2
_PICTURES_DEPTH = 3
_ROW = 4
_ENTRIES = {pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_FREETEXT, pdfium.FPDF_ANNOT_STAMP}
"""Annotations with text: fields of forms, and text that was typed or stamped onto a page."""
_SHOWN_RANGES = 5
_OCR = "triton-rag ingest --ocr reads it, or add a text layer with an OCR program"
_OCR_FAILED = "OCR is not sure what it says"
_DRAWN = "blank, or drawings; if letters are drawn, save the pages as pictures for --ocr"
_GUESSED = "its fonts don't say which letters they draw"


@dataclass(frozen=True)
class _Pages:
    """The lines of each page, and the numbers, from 0, of pages without readable lines."""

    lines: list[list[Line]]
    blank: list[int]
    scanned: list[int]
    """Pages without text but with a picture."""
    guessed: list[int]
    """Pages whose characters make no sense (pdf_guessed.py)."""
    ocr_pages: int

    def check(self, is_by_ocr: bool) -> None:
        """Raises `Unreadable` where no page has text."""
        advice, count = _OCR_FAILED if is_by_ocr else _OCR, len(self.lines)
        if len(self.blank) == count:
            pages = f"{count:,} page{'s' * (count != 1)}"
            if not self.scanned:
                raise Unreadable(f"no text on its {pages}, and no scan: {_DRAWN}")
            raise Unreadable(f"no text on its {pages}: scanned, it seems; {advice}")
        if len(self.guessed) + len(self.blank) == count:
            raise Unreadable(f"{_GUESSED}: {advice}")


def read(data: bytes, on_page: OnPage | None = None) -> FileText:
    """The text of a PDF; with `on_page` OCR reads pages without readable text."""
    try:
        with pypdfium2.PdfDocument(data) as pdf:
            pages = _pages(pdf, on_page)
            bookmarks = list(_bookmarks(pdf))
            title = pdf.get_metadata_dict().get("Title", "").replace("\0", " ").strip()
    except pypdfium2.PdfiumError as error:
        if _PASSWORD in str(error).lower():
            raise Unreadable("encrypted: a password is needed") from error
        raise Unreadable("not a PDF, or a damaged one") from error
    pages.check(on_page is not None)
    layout = lay_out(without_contents(without_running_lines(undivided(pages.lines))))
    is_marked = len(bookmarks) >= _FEWEST_BOOKMARKS or not layout.headings
    headings = list(_placed(bookmarks, layout.texts)) if is_marked else layout.headings
    title = layout.title if not title or _NO_TITLE.match(title) else title
    why = f"scanned; {_OCR_FAILED}" if on_page else "scanned?"
    remarks = (
        *_remarks(pages.scanned, len(layout.texts), "no text", why),
        *_remarks(pages.guessed, len(layout.texts), "no readable text", _GUESSED),
    )
    text, sections = "\n".join(layout.texts), _sections(layout.texts, headings)
    return FileText(text, sections, title, remarks, pages.ocr_pages)


def _pages(pdf: pypdfium2.PdfDocument, on_page: OnPage | None) -> _Pages:
    found = [_filled_lines(pdf, number) for number in range(len(pdf))]
    blank = [number for number, lines in enumerate(found) if not lines]
    scanned = [number for number in blank if _has_pictures(pdf[number])]
    guessed = unreadable_pages(found)
    read = _read_pictures(pdf, sorted({*scanned, *guessed}), on_page) if on_page else {}
    lines = [read.get(n, [] if n in guessed else lines) for n, lines in enumerate(found)]
    blank, scanned, guessed = (
        [number for number in of if number not in read] for of in (blank, scanned, guessed)
    )
    return _Pages(lines, blank, scanned, guessed, len(read))


def _filled_lines(pdf: pypdfium2.PdfDocument, number: int) -> list[Line]:
    """The lines of a page, whose number is from 0. Text that was filled into a form, or typed onto
    the page, is added to the nearest line beside or above it."""
    page = pdf[number]
    lines = page_lines(page)
    if not any(kind in _ENTRIES for kind in _annotations(page)):
        return lines
    pdfium.FPDFPage_Flatten(page, pdfium.FLAT_NORMALDISPLAY)
    printed = set(lines)
    for entry in page_lines(pdf[number]):
        if entry not in printed:
            near = [at for at, line in enumerate(lines) if line.y > entry.y - entry.size]
            if near:
                at = min(near, key=lambda at: _distance(lines[at], entry))
                lines[at] = replace(lines[at], text=f"{lines[at].text} {entry.text}")
            else:
                lines.append(entry)
    return lines


def _annotations(page: pypdfium2.PdfPage) -> Iterator[int]:
    """The kinds of a page's annotations; most are links."""
    for index in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, index)
        kind = int(pdfium.FPDFAnnot_GetSubtype(annotation))
        pdfium.FPDFPage_CloseAnnot(annotation)
        yield kind


def _distance(line: Line, entry: Line) -> float:
    """Distance of filled-in text from the nearer end of a line; a line beside it is nearer than one
    above."""
    aside = min(abs(line.x - entry.x), abs(line.end_x - entry.x))
    return aside + _ROW * abs(line.end_y - entry.y)


def _read_pictures(
    pdf: pypdfium2.PdfDocument, numbers: Iterable[int], on_page: OnPage
) -> dict[int, list[Line]]:
    """The lines of pages by number, from 0: only pages whose text OCR is sure of."""
    from triton_rag.ingestion.readers import ocr  # it loads a model

    read = {}
    for number in numbers:
        page = pdf[number]
        side = max(page.get_size())
        scale = min(max(ocr.DPI / 72, ocr.LEAST_SIDE / side), ocr.MAX_SIDE / side)
        if lines := ocr.read_picture(page.render(scale=scale).to_numpy(), 1 / scale):
            read[number] = lines
        on_page()
    return read


def _has_pictures(page: pypdfium2.PdfPage) -> bool:
    """Whether a page without text may have been scanned; others are blank."""
    return any(page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=_PICTURES_DEPTH))


def _bookmarks(pdf: pypdfium2.PdfDocument) -> Iterator[tuple[int, int, str]]:
    """The page from 0, the level from 1 and the words of each bookmark that leads to a page."""
    for mark in pdf.get_toc():
        target = mark.get_dest()
        page = target.get_index() if target else None
        if page is not None and mark.get_title().strip():
            yield page, mark.level + 1, mark.get_title()


def _placed(bookmarks: Sequence[tuple[int, int, str]], texts: Sequence[str]) -> Iterator[Heading]:
    """Headings from bookmarks, placed at their words on their page, in order.

    A bookmark whose words are not found there is placed at the page's beginning.
    """
    for page, marks in groupby(sorted(bookmarks, key=_page), _page):
        at = 0
        for _, level, words in marks:
            at = max(at, _find(words, texts[page], at))
            yield Heading(page, at, level, words)


def _sections(texts: Sequence[str], headings: Sequence[Heading]) -> tuple[Section, ...]:
    """Sections: one begins at each page, and one at each heading."""
    outline, sections, start = Outline(), list[Section](), 0
    path: Headings = ()
    of_page = {page: list(found) for page, found in groupby(headings, lambda each: each.page)}
    for number, text in enumerate(texts):
        sections.append(Section(start, path, number + 1))
        for heading in of_page.get(number, ()):
            path = outline.enter(heading.level, heading.words)
            section = Section(start + heading.start, path, number + 1)
            sections = [s for s in sections if s.start < section.start] + [section]
        start += len(text) + 1
    return tuple(sections)


def _page(bookmark: tuple[int, int, str]) -> int:
    return bookmark[0]


def _find(words: str, text: str, start: int) -> int:
    """Where a line with these words begins; -1 if there is none."""
    pattern = (
        r"^[ \t]*(?:[\dA-Z][\d.]*\s+)?" + r"\s+".join(map(re.escape, words.split())) + r"[ \t]*$"
    )
    found = re.compile(pattern, re.MULTILINE | re.IGNORECASE).search(text, start)
    return found.start() if found else -1


def _remarks(numbers: Sequence[int], page_count: int, what: str, why: str) -> Iterator[str]:
    """A remark on the pages that are not read; consecutive pages are named as a range."""
    ranges: list[list[int]] = []
    for number in (index + 1 for index in numbers):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1].append(number)
        else:
            ranges.append([number])
    shown = [f"{r[0]}-{r[-1]}" if len(r) > 1 else f"{r[0]}" for r in ranges[:_SHOWN_RANGES]]
    if numbers:
        more = ", …" if len(ranges) > _SHOWN_RANGES else ""
        plural = "s" if len(numbers) > 1 else ""
        yield f"{what} on page{plural} {', '.join(shown)}{more} (of {page_count:,}): {why}"

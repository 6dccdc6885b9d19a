"""The lines of a PDF's page: their text, their place, and the size and weight of their type."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pypdfium2
import pypdfium2.raw as pdfium

HYPHEN = "\ufffe"
"""PDFium's character for a hyphen that divides a word at the end of a line; it joins the lines."""
_DIVIDED = re.compile(rf"(\w*)(?:{HYPHEN}|\u00ad)\s*(\w*)")
_CONJUNCTIONS = {
    "and",
    "or",
    "to",
    "und",
    "oder",
    "bis",
    "sowie",
    "bzw",
    "et",
    "ou",
    "en",
    "of",
    "och",
}
"""Words after a hyphen that replaces the rest of a word: "pre- and post-war"."""
_HYPHENATED = re.compile(r"\w+-\w+")
_LEADERS = re.compile(r"(?:[ .]\.){4,}\s*")
"""The dots of a table of contents; each of them would be a token."""
_ELLIPSIS = re.compile(r"(?: ?\.){3}(?![ .]*\.)")
_BULLET = re.compile(r"^[\x80-\x9f\uf0a7\uf0b7\uf0d8](?=\s)")
"""Bullets of fonts that don't tell which characters they have."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LIGATURES = {
    code: ligature
    for first in (0x0B, 0x1B)
    for code, ligature in enumerate(("ff", "fi", "fl", "ffi", "ffl"), start=first)
}
"""Ligatures by their codes in TeX's fonts, which PDFium gives if the file names no characters."""
_LIGATURE = re.compile("(?<=[a-z])[\x0b-\x0f\x1b-\x1f]|[\x0b-\x0f\x1b-\x1f](?=[a-z]{2}|[tx]\\b)")
_ADOBE = {0xF700 + ord(plain): plain for plain in "0123456789abcdefghijklmnopqrstuvwxyz"}
_ADOBE |= dict(zip(range(0xF6C4, 0xF6C9), "гбдпт", strict=True))
"""Adobe's codes of old-style figures, small capitals and Serbian italics."""
_SHARP_S = re.compile(r"(?<=[a-zäöü])ÿ")
"""The code of ß in TeX's fonts, too."""
_BOLD = re.compile(r"bold|black|heavy|cmbx", re.IGNORECASE)
"""Words in the name of a bold font: many files don't give its weight."""
BOLD = 700
_NAME_BYTES = 128
_SAME_LINE = 0.6
"""Pieces are on one line if they are less far apart, in sizes of the type: superscripts are."""
_WORD_GAP = 1.0
"""Largest usual gap within a line, in sizes of the type; up to twice as much is allowed."""


@dataclass(frozen=True)
class Line:
    """A line. Places are on its baseline, in points from the lower left corner of the page.

    PDFium joins a divided word, so a line may end on the line below.
    """

    text: str
    x: float
    y: float
    end_x: float
    end_y: float
    size: float
    """The size of its first letter, in points."""
    weight: int
    """The smaller weight of its first and last letter: 400 is regular, 700 bold."""
    end_size: float = 0.0
    """The size of its last letter, in points."""
    is_guessed: bool = False
    """Whether the font of its first and last letter doesn't say which characters it has, so that
    PDFium takes their codes for characters."""


def page_lines(page: pypdfium2.PdfPage) -> list[Line]:
    """The lines of a page that have words, in the order of the file."""
    lines: list[Line] = []
    for line in _lines(page.get_textpage()):
        if lines and _goes_on(lines[-1], line):
            lines[-1] = _joined(lines[-1], line)
        else:
            lines.append(line)
    return [replace(line, text=_readable(line)) for line in lines]


def undivided(pages: Sequence[Sequence[Line]]) -> list[list[Line]]:
    """The pages with divided words joined, and without control characters. A hyphen stays if the
    word has it elsewhere, or a capital after it."""
    texts = (line.text for page in pages for line in page)
    hyphenated = {word.casefold() for text in texts for word in _HYPHENATED.findall(text)}

    def whole(found: re.Match[str]) -> str:
        if found[2] in _CONJUNCTIONS:
            return f"{found[1]}- {found[2]}"
        joined = f"{found[1]}-{found[2]}"
        is_compound = found[2].istitle() or joined.casefold() in hyphenated
        return joined if is_compound else found[1] + found[2]

    def readable(text: str) -> str:
        return _CONTROL.sub(" ", _DIVIDED.sub(whole, text)).translate(_ADOBE).strip()

    return [[replace(line, text=readable(line.text)) for line in page] for page in pages]


def _lines(page: pypdfium2.PdfTextPage) -> Iterator[Line]:
    start = 0
    for line in page.get_text_range(errors="replace").split("\r\n"):
        places = [at for at, character in enumerate(line) if not character.isspace()]
        if places:
            letters = [at for at in places if line[at].isalnum()] or places
            first, last = (start + _units(line[:at]) for at in (letters[0], letters[-1]))
            begin, end = _origin(page, start + _units(line[: places[0]])), _origin(page, last)
            weight = min(_weight(page, first), _weight(page, last))
            is_guessed = all(_is_guessed(page, at) for at in (first, last))
            sizes = _size(page, first), _size(page, last)
            yield Line(line, *begin, *end, sizes[0], weight, sizes[1], is_guessed)
        start += _units(line) + 2


def _goes_on(line: Line, after: Line) -> bool:
    """Whether `after` belongs to the same line: PDFium begins a line after a superscript, too."""
    is_level = abs(after.y - line.end_y) < _SAME_LINE * line.size
    return is_level and 0 < after.x - line.end_x < 2 * _WORD_GAP * line.size


def _joined(line: Line, after: Line) -> Line:
    text = line.text.rstrip() + ("" if _is_tight(line, after) else " ") + after.text.lstrip()
    weight, is_guessed = min(line.weight, after.weight), line.is_guessed and after.is_guessed
    place = {"end_x": after.end_x, "end_y": after.end_y, "end_size": after.end_size}
    return replace(line, text=text, weight=weight, is_guessed=is_guessed, **place)


def _is_tight(line: Line, after: Line) -> bool:
    """Whether no space is needed between: for example, punctuation after a superscript."""
    return not after.text.lstrip()[:1].isalnum() and not line.text.endswith(" ")


def _readable(line: Line) -> str:
    text = _SHARP_S.sub("ß", line.text) if line.is_guessed else line.text
    text = _LIGATURE.sub(lambda found: _LIGATURES[ord(found[0])], text)
    text = _ELLIPSIS.sub("…", _LEADERS.sub(" – ", text))
    return _BULLET.sub("•", text.lstrip()).rstrip(" ")


def _units(text: str) -> int:
    """Length of a text as PDFium counts it."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def _origin(page: pypdfium2.PdfTextPage, text_index: int) -> tuple[float, float]:
    x, y = ctypes.c_double(), ctypes.c_double()
    pdfium.FPDFText_GetCharOrigin(page, _index(page, text_index), x, y)
    return x.value, y.value


def _size(page: pypdfium2.PdfTextPage, text_index: int) -> float:
    """The size of type as shown: many programs use size 1 and scale it."""
    index, matrix = _index(page, text_index), pdfium.FS_MATRIX()
    pdfium.FPDFText_GetMatrix(page, index, matrix)
    scale = math.hypot(matrix.c, matrix.d) or 1.0
    return round(float(pdfium.FPDFText_GetFontSize(page, index)) * scale, 1)


def _weight(page: pypdfium2.PdfTextPage, text_index: int) -> int:
    index, name, flags = _index(page, text_index), bytes(_NAME_BYTES), ctypes.c_int()
    pdfium.FPDFText_GetFontInfo(page, index, name, _NAME_BYTES, flags)
    weight = int(pdfium.FPDFText_GetFontWeight(page, index))
    return max(weight, BOLD) if _BOLD.search(name.decode("ascii", errors="replace")) else weight


def _is_guessed(page: pypdfium2.PdfTextPage, text_index: int) -> bool:
    return bool(pdfium.FPDFText_HasUnicodeMapError(page, _index(page, text_index)) == 1)


def _index(page: pypdfium2.PdfTextPage, text_index: int) -> int:
    return int(pdfium.FPDFText_GetCharIndexFromTextIndex(page, text_index))

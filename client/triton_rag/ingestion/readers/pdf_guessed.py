"""Pages of a PDF whose fonts don't say which characters they draw.

PDFium then takes the codes in the file for characters. In TeX's Latin type that is nearly right; in
Cyrillic, Greek or Indian type, or where a program numbered the letters as it met them, it is not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from triton_rag.ingestion.readers.pdf_lines import Line

_GUESSED_SHARE = 0.5
"""A page with more of its characters in such type is looked at."""
_LEAST_PLAUSIBLE = 0.6
"""Share of its guessed words that look like words. Measured on 300 such pages of 50 PDFs: 0.7 and
more on readable ones, below 0.5 on the others."""
_FEWEST_WORDS = 10
_NO_LETTERS = "\x00-\x08\x0b\x0c\x0e\x0f\x17-\x1f\x7f-\x9f"
"""Codes that are none of a letter, quote or dash in any encoding of TeX."""
_WORD = re.compile(f"(?:[^\\W\\d_]|[{_NO_LETTERS}])+")
_HAS_NO_LETTER = re.compile(f"[{_NO_LETTERS}]")
_HUMPS = re.compile(r"[A-ZÀ-Þ]{2,}|[A-ZÀ-Þ]?[a-zß-ÿ]+|.")
_LATIN_END = "\u0250"
_MIXED = {"LATIN", "GREEK", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "COMBINING", "ZERO"}
"""How the names of characters begin that stand beside those of another alphabet in a word."""
_LEAST_LETTERS = 4
_LONG_WITHOUT_VOWEL = 5
_VOWELS = frozenset("aeiouyæœø")


def unreadable_pages(pages: Sequence[Sequence[Line]]) -> list[int]:
    """The pages, from 0, whose text is no text in any language. Of a page with few words all those
    of the file decide."""
    suspects = {n: _judged(lines) for n, lines in enumerate(pages) if _is_mostly_guessed(lines)}
    whole = [judgement for judged in suspects.values() for judgement in judged]
    return [
        number
        for number, judged in suspects.items()
        if not _are_words(judged if len(judged) >= _FEWEST_WORDS else whole)
    ]


def _is_mostly_guessed(lines: Sequence[Line]) -> bool:
    worded = [line for line in lines if _WORD.search(line.text)]
    guessed = sum(len(line.text) for line in worded if line.is_guessed)
    return guessed > _GUESSED_SHARE * sum(len(line.text) for line in worded)


def _judged(lines: Sequence[Line]) -> list[bool]:
    """Whether each word is one. Formulas have short ones, which tell nothing."""
    words = (word for line in lines if line.is_guessed for word in _WORD.findall(line.text))
    return [
        _is_plausible(word)
        for word in words
        if len(word) >= _LEAST_LETTERS or _HAS_NO_LETTER.search(word)
    ]


def _are_words(judged: Sequence[bool]) -> bool:
    return len(judged) < _FEWEST_WORDS or sum(judged) >= _LEAST_PLAUSIBLE * len(judged)


def _is_plausible(word: str) -> bool:
    """Whether it is made as words are: of plain letters mostly, with a vowel, and with capitals
    where parts begin. One of another alphabet than the Latin one has no third."""
    if _HAS_NO_LETTER.search(word):
        return False
    if max(word) >= _LATIN_END:
        return len({unicodedata.name(c, "").split(" ")[0] for c in word} - _MIXED) <= 1
    plain = [unicodedata.normalize("NFD", letter)[0] for letter in word.lower()]
    if 2 * sum(letter > "\x7f" for letter in word) > len(word):
        return False
    if not word.isupper() and min(map(len, _HUMPS.findall(word))) < 2:
        return False
    return len(word) < _LONG_WITHOUT_VOWEL or word.isupper() or not _VOWELS.isdisjoint(plain)

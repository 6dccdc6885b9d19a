"""Pages of a PDF whose fonts don't say which characters they draw.

PDFium then takes the codes in the file for characters. For TeX's Latin fonts that is nearly right.
It is wrong for Cyrillic, Greek or Indian fonts, and if a program numbered letters as they occurred.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from triton_rag.ingestion.readers.pdf_lines import Line

_GUESSED_SHARE = 0.5
"""A page is checked if a larger share of its characters is in such fonts."""
_LEAST_PLAUSIBLE = 0.6
"""Least share of a readable page's guessed words that look like words. On 300 such pages of 50 PDFs
it was 0.7 and more on readable ones, below 0.5 on the others."""
_FEWEST_WORDS = 10
_NO_LETTERS = "\x00-\x08\x0b\x0c\x0e\x0f\x17-\x1f\x7f-\x9f"
"""Codes that are no letter, quote or dash in any of TeX's encodings."""
_WORD = re.compile(f"(?:[^\\W\\d_]|[{_NO_LETTERS}])+")
_HAS_NO_LETTER = re.compile(f"[{_NO_LETTERS}]")
_HUMPS = re.compile(r"[A-ZÀ-Þ]{2,}|[A-ZÀ-Þ]?[a-zß-ÿ]+|.")
_LATIN_END = "\u0250"
_MIXED = {"LATIN", "GREEK", "CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "COMBINING", "ZERO"}
"""First words of Unicode names: such characters may be in a word with those of another alphabet."""
_LEAST_LETTERS = 4
_LONG_WITHOUT_VOWEL = 5
_VOWELS = frozenset("aeiouyæœø")


def unreadable_pages(pages: Sequence[Sequence[Line]]) -> list[int]:
    """Numbers, from 0, of the pages whose text is in no language. A page with few words is judged
    by all guessed words of the file."""
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
    """Whether each word looks like one; short ones, as in formulas, are left out."""
    words = (word for line in lines if line.is_guessed for word in _WORD.findall(line.text))
    return [
        _is_plausible(word)
        for word in words
        if len(word) >= _LEAST_LETTERS or _HAS_NO_LETTER.search(word)
    ]


def _are_words(judged: Sequence[bool]) -> bool:
    return len(judged) < _FEWEST_WORDS or sum(judged) >= _LEAST_PLAUSIBLE * len(judged)


def _is_plausible(word: str) -> bool:
    """Whether it looks like a word: mostly plain letters, with a vowel, and capitals only where its
    parts begin. A word in another alphabet must not mix alphabets."""
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

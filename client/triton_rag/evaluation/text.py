"""Compares texts as a reader would: without case, spaces and separators of thousands."""

import re
from unicodedata import normalize

_GROUPED_NUMBER = re.compile(r"(?<![\d.,])\d{1,3}(?:[,'\u00a0\u2009\u202f]\d{3})+(?!\d)")
"""A number with separators of thousands, but not plain spaces: `80 443` are two numbers."""
_FIRST_UNSPACED = "\u0e00"
"""First character of Thai, Chinese and Japanese, of which each character counts as a word."""
_WORD = re.compile(r"[^\W\u0e00-\U0010ffff]+|[\u0e00-\U0010ffff]")
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "`": None, "*": None})


def one_line(text: str) -> str:
    return " ".join(text.split())


def normalized(text: str) -> str:
    """Lower case, single spaces, `1,024` as `1024`, no marks of Markdown or reStructuredText."""
    plain = _GROUPED_NUMBER.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    return one_line(normalize("NFKC", plain).translate(_QUOTES).casefold())


def holds(text: str, answers: tuple[str, ...]) -> bool:
    """Whether one of the answers is in the text as whole words: 22 is not in 2200."""
    given = normalized(text)
    return any(_whole(normalized(answer)).search(given) for answer in answers)


def share_of_words(text: str, of: str) -> float:
    """Share of the different words of `of` that the text has too, 0 to 1."""
    wanted = _words(of)
    return len(wanted & _words(text)) / len(wanted) if wanted else 0.0


def _whole(answer: str) -> re.Pattern[str]:
    before = r"(?<!\w)" if _is_spaced(answer[:1]) else ""
    after = r"(?!\w)" if _is_spaced(answer[-1:]) else ""
    return re.compile(before + re.escape(answer) + after)


def _is_spaced(character: str) -> bool:
    """Whether it is part of a word in a script that puts spaces between words."""
    return character.isalnum() and character < _FIRST_UNSPACED


def _words(text: str) -> set[str]:
    return {word for word in _WORD.findall(normalized(text)) if word.isalnum() or len(word) > 1}

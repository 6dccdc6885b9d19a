"""The words of a text, by which answers and sources are compared.

Words are what spaces separate, or pairs of characters in scripts without spaces.
"""

import re
import unicodedata
from itertools import pairwise

_MARKS = "".join(c for c in map(chr, range(0x300, 0x2000)) if unicodedata.category(c)[0] == "M")
"""Combining marks, such as the vowels of Hindi and Thai: `re` does not count them as letters."""
_WORD = re.compile(rf"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:[{_MARKS}]+[^\W\d_]*)*")
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\U0010ffff]")
"""Characters of scripts without spaces: Thai, Lao, Burmese, Khmer, Chinese, Japanese, Korean."""
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_HUMPS = re.compile(r"\b[a-z]+(?:[A-Z][a-z\d]+)+\b")
_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])")
_STEM_CHARACTERS = 6
"""Words that begin alike count as equal: a language-independent substitute for stemming."""
_ENGLISH_FUNCTION_WORDS = (
    "a an and any are as at be been but by can do does for from had has have he how i if in "
    "into is it its may me more must my no not of on or our s shall she should so some t than "
    "that the their them then there these they this to us was we were what when where which "
    "who whose why will with you your"
)
_FUNCTION_WORDS = frozenset(_ENGLISH_FUNCTION_WORDS.split())

Words = frozenset[str]


def words(text: str) -> Words:
    """Stems of words that are no function words, numbers, and pairs of unspaced characters."""
    found = _written_words(text)
    return frozenset(stem for word in found if word not in _FUNCTION_WORDS for stem in _stems(word))


def copied_share(sentence: str, text: str) -> float:
    """Share of the sentence's pairs of neighbouring words that are in the text too, 0 to 1.

    All words count, also "not" and "16 bytes". A single word must be in the text.
    """
    said, told = _stems_in_order(sentence), _stems_in_order(text)
    pairs = list(pairwise(said))
    if not pairs:
        return float(said != [] and said[0] in told)
    known = set(pairwise(told))
    return sum(pair in known for pair in pairs) / len(pairs)


def _stems_in_order(text: str) -> list[str]:
    return [stem for word in _written_words(text) for stem in _stems(word)]


def _written_words(text: str) -> list[str]:
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", _with_parts(text)).casefold())
    return _WORD.findall(plain)


def _with_parts(text: str) -> str:
    """The text with the parts of identifiers after them: `maxSurge max Surge`."""
    return _HUMPS.sub(lambda found: f"{found[0]} {_HUMP.sub(' ', found[0])}", text)


def _stems(word: str) -> list[str]:
    if word[0].isdigit():
        return [word.rstrip(".,:")]
    if _UNSPACED.match(word):
        return [word[i : i + 2] for i in range(max(1, len(word) - 1))]
    return [word[:_STEM_CHARACTERS]]

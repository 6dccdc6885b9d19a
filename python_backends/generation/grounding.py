"""Which source an answer rests on, by the words and numbers that they share.

A model need not cite by itself. Each sentence of the answer is compared with each source: what the
question does not say already must stand in the source. No model is asked. Words are what spaces
separate, and pairs of characters in Chinese, Japanese and Korean; Thai and its like are not split.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from python_backends.sentences import sentence_spans

_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*\s+(?![a-z])|(?<=[。！？])|(?<![:：\s])\s*\n\s*")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_STEM_CHARACTERS = 6
"""Words that begin alike count as equal: a language-independent substitute for stemming."""
_ENGLISH_FUNCTION_WORDS = (
    "a an and are as at be been but by can do does for from had has have if in into is it its may "
    "more must no not of on or shall should so than that the their them then there these they this "
    "to was were which will with you your"
)
_FUNCTION_WORDS = frozenset(_ENGLISH_FUNCTION_WORDS.split())

Words = frozenset[str]


def written_sentences(text: str) -> list[str]:
    """The sentences and lines that a model wrote, without the blanks between them."""
    return [piece for part in _SENTENCE_END.split(text) if (piece := part.strip())]


def first_sentence_end(text: str) -> int | None:
    """Where the first sentence ends; None while more of it may come."""
    start = len(text) - len(text.lstrip())
    found = _SENTENCE_END.search(text, start)
    return found.start() if found and found.end() < len(text) else None


def words(text: str) -> Words:
    """Stems of the words that carry meaning, numbers, and pairs of letters without spaces."""
    plain = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).casefold())
    found = _WORD.findall(plain)
    return frozenset(stem for word in found if word not in _FUNCTION_WORDS for stem in _stems(word))


def _stems(word: str) -> list[str]:
    if word[0].isdigit():
        return [word.rstrip(".,:")]
    if word[0] >= "\u2e80":  # Chinese, Japanese, Korean: words are not separated
        return [word[i : i + 2] for i in range(max(1, len(word) - 1))]
    return [word[:_STEM_CHARACTERS]]


def _is_number(word: str) -> bool:
    return word[0].isdigit()


@dataclass(frozen=True)
class Support:
    """What stands behind one sentence of an answer."""

    source: int
    """Number of the source, from 1."""
    share: float
    """Share of the sentence's new words that the source has, 0 to 1; 0 if a number is missing."""
    quote: str
    """The sentence of the source with most of the words."""
    is_echo: bool
    """Whether the sentence has no word that the question has not."""


class Evidence:
    """The sources of one answer, compared with its sentences."""

    def __init__(self, sources: Sequence[str], question: str) -> None:
        self._sources = sources
        self._source_words = [words(source) for source in sources]
        self._asked = words(question)

    def support(self, sentence: str) -> Support | None:
        """The best source for a sentence; None without sources, or for a sentence without words."""
        said = words(sentence)
        if not said or not self._sources:
            return None
        # A sentence that only repeats the question is judged by all its words.
        new = said - self._asked
        is_echo = not new
        new = new or said
        shares = [self._share(new, known) for known in self._source_words]
        best = max(range(len(shares)), key=lambda i: (shares[i], len(said & self._source_words[i])))
        return Support(best + 1, shares[best], self._quote(best, new, said), is_echo)

    def closest_quote(self, source: int, count: int) -> str:
        """`count` neighbouring sentences of source number `source`.

        They begin with the one that has most of the question's words: what it says is often told
        by the next ones. Earlier ones fill up at the source's end.
        """
        text = self._sources[source - 1]
        spans = sentence_spans(text)
        shared = [len(words(text[start:end]) & self._asked) for start, end in spans]
        first = max(0, min(shared.index(max(shared)), len(spans) - count))
        chosen = spans[first : first + count]
        return text[chosen[0][0] : chosen[-1][1]]

    def _share(self, new: Words, known: Words) -> float:
        if any(_is_number(word) and word not in known for word in new):
            return 0.0
        return len(new & known) / len(new)

    def _quote(self, source: int, new: Words, said: Words) -> str:
        def shared(sentence: str) -> tuple[int, int]:
            found = words(sentence)
            return len(found & new), len(found & said)

        text = self._sources[source]
        return max((text[start:end] for start, end in sentence_spans(text)), key=shared)

"""Which source supports an answer, by the words and numbers that they share.

A model need not cite by itself. Each sentence of the answer is compared with each source: its words
that are not in the question must be together there, in one sentence or two neighbouring ones. Words
from all over a passage prove nothing. No model is asked.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from python_backends.generation.words import Words, words
from python_backends.sentences import (
    END,
    ENDS,
    Span,
    begins_item,
    is_heading,
    is_whole,
    one_line,
    sentence_spans,
    stands_alone,
    without_bullet,
)
from python_backends.settings_text import are_beside, is_option, is_setting

_SENTENCE_END = re.compile(rf"{END}|(?<![:：\s])\s*\n\s*")
_IS_STATEMENT = re.compile(rf"[{ENDS}。！？][\"'”’)\]]*$")
_IS_QUESTION = re.compile(r"[?？؟]\W*$")
_REFERS_BACK = re.compile(
    r"(?:Also|And|But|However|It|Its|Other|Otherwise|Such|That|Their|Then|Therefore|These|They|This"
    r"|Those|Thus)\b"
)
"""First words of a sentence that refers to the one before it; English only."""


def written_sentences(text: str) -> list[str]:
    """The sentences and lines that a model wrote, without the blanks between them."""
    return [piece for part in _SENTENCE_END.split(text) if (piece := part.strip())]


def first_sentence_end(text: str) -> int | None:
    """Where the first sentence ends; None while more of it may come."""
    start = len(text) - len(text.lstrip())
    found = _SENTENCE_END.search(text, start)
    return found.start() if found and found.end() < len(text) else None


@dataclass(frozen=True)
class Support:
    """What supports one sentence of an answer."""

    source: int
    """Number of the source, from 1."""
    share: float
    """Share of the sentence's new words that are together in the source, 0 to 1; 0 if the source
    lacks one of its numbers."""
    quote: str
    """The sentence of the source with most of the words."""
    is_echo: bool
    """Whether all words of the sentence are in the question."""
    is_to_the_point: bool
    """Whether it has as many of the question's words as any sentence of the source, and `quote` is
    no question: the questions of a list answer nothing."""


@dataclass(frozen=True)
class Quote:
    """Neighbouring sentences of a source."""

    source: int
    """Number of the source, from 1."""
    text: str
    sentences: tuple[str, ...]

    @property
    def laid_out(self) -> str:
        """The text with wrapped lines joined. Items, rows, settings and headings keep their lines;
        what has no words, such as a rule, is left out."""
        lines: list[str] = []
        for each in self.sentences:
            if lines and is_whole(lines[-1]) and not begins_item(each):
                lines[-1] += f" {one_line(each)}"
            else:
                lines += map(one_line, each.split("\n") if is_setting(each) else [each])
        return "\n".join(lines)

    def statements(self) -> list[tuple[str, Support]]:
        """Each sentence, on one line, with itself as its support."""
        return [
            (one_line(sentence), Support(self.source, 1.0, sentence, False, True))
            for sentence in self.sentences
        ]


class Passage:
    """The sentences of one source, and their words."""

    def __init__(self, text: str, number: int) -> None:
        self.text, self.number = text, number
        self.words = words(text)
        self.spans: list[Span] = sentence_spans(text)
        self.sentences = [text[start:end] for start, end in self.spans]
        self._columns = [start - text.rfind("\n", 0, start) for start, _ in self.spans]
        self._is_heading = [is_heading(text, span) for span in self.spans]
        self.sentence_words = [words(sentence) for sentence in self.sentences]

    def share(self, new: Words) -> float:
        """The largest share of `new` that one sentence has, or two that follow each other."""
        if any(word[0].isdigit() and word not in self.words for word in new):
            return 0.0
        return max((len(new & together) / len(new) for together in self._neighbours()), default=0.0)

    def _neighbours(self) -> Iterator[Words]:
        yield from self.sentence_words
        for i, following in enumerate(self.sentence_words[1:]):
            if is_whole(self.sentences[i]):  # a heading does not continue in the next line
                yield self.sentence_words[i] | following

    def shared(self, asked: Words) -> list[int]:
        """How many of the words each sentence has."""
        return [len(known & asked) for known in self.sentence_words]

    def quote(self, new: Words, said: Words) -> str:
        shared = list(zip(self.shared(new), self.shared(said), strict=True))
        return self.sentences[shared.index(max(shared))] if shared else ""

    def closest_quote(self, asked: Words, count: int) -> Quote | None:
        """Quotes at most `count` sentences, the first being the one with most of the words, if any.

        The next ones of its section are quoted because they often explain it. If it lacks a word,
        or refers back, the sentence before it is quoted too. If it is an item of a list or a row,
        and no other sentence has as many of the words, only the item or row is quoted.
        """
        shared = self.shared(asked)
        if not shared:
            return None
        first = shared.index(max(shared))
        if shared.count(max(shared)) == 1 and (item := self._item(first)):
            return self._quote_from(item, count)
        section = self._told_from(first)
        begin = section.start
        if self._refers_back(begin):
            begin -= 1
        if count > 1 and asked - self.sentence_words[section.start] and self._is_prose(begin):
            begin -= 1
        return self._quote_from(range(begin, section.stop), count + section.start - begin)

    def _quote_from(self, section: range, count: int) -> Quote:
        """Quotes at most `count` sentences of a section.

        A term among them, such as a heading, does not count: it says nothing by itself.
        """
        begin = end = section.start
        while end < section.stop and end - begin <= count:
            if sum(map(is_whole, self.sentences[begin:end])) == count:
                break
            end += 1
        if end - begin > 1 and self._is_cut(end - 1):
            end -= 1
        spans = [without_bullet(self.text, self.spans[begin]), *self.spans[begin + 1 : end]]
        text = self.text[spans[0][0] : spans[-1][1]]
        return Quote(self.number, text, tuple(self.text[start:end] for start, end in spans))

    def _refers_back(self, number: int) -> bool:
        """Whether a reader needs the sentence before: "This also changes …"."""
        return self._follows(number) and _REFERS_BACK.match(self.sentences[number]) is not None

    def _is_prose(self, number: int) -> bool:
        """Whether it follows a whole sentence of its section and is no item or row."""
        is_item = begins_item(self.sentences[number])
        return self._follows(number) and not is_item and is_whole(self.sentences[number - 1])

    def _follows(self, number: int) -> bool:
        """Whether a sentence comes before it in its section."""
        return number > 0 and not any(self._is_heading[number - 1 : number + 1])

    def _is_cut(self, number: int) -> bool:
        """Whether the sentence breaks off: the passage ends within it, or a term or footer begins.

        After a heading, an item or a row it is one of these itself, and not cut.
        """
        is_last = number == len(self.spans) - 1
        return (
            is_last
            and not is_whole(self.sentences[number])
            and _IS_STATEMENT.search(self.sentences[number - 1]) is not None
        )

    def _item(self, first: int) -> range:
        """Sentences of the item or row that begins with number `first`, of those below it, and of
        settings in the same section.

        Empty where there is none, or where its end (`:`) announces the next ones.
        """
        rest = range(first + 1, len(self.spans))
        end = next((i for i in rest if not self._belongs(first, i)), rest.stop)
        is_item = stands_alone(self.sentences, first) and not self.sentences[end - 1].endswith(":")
        return range(first, end if is_item else first)

    def _belongs(self, first: int, number: int) -> bool:
        own, column = self._columns[first], self._columns[number]
        pair = self.sentences[first], self.sentences[number]
        if all(map(is_option, pair)):
            return False
        return column > own or are_beside(*pair, is_indented=column == own > 1)

    def _told_from(self, first: int) -> range:
        """Sentences of one section, from number `first` on, or from the next if that is a heading.

        A single line without a full stop says too little: the next section is added to it.
        """
        section = self._section_from(first)
        following = self._section_from(section.stop)
        if following and len(section) == 1 and not is_whole(self.sentences[section.start]):
            section = range(section.start, following.stop)
        return section or range(first, len(self.spans))

    def _section_from(self, first: int) -> range:
        """Sentences from number `first` on, between two headings; empty where none follow."""
        numbers = range(first, len(self.spans))
        begin = next((i for i in numbers if not self._is_heading[i]), numbers.stop)
        following = range(begin, numbers.stop)
        return range(begin, next((i for i in following if self._is_heading[i]), numbers.stop))


class Evidence:
    """The sources of one answer, compared with its sentences."""

    def __init__(self, sources: Sequence[str], question: str) -> None:
        self._passages = [Passage(source, number) for number, source in enumerate(sources, 1)]
        self._asked = words(question)

    def support(self, sentence: str) -> Support | None:
        """The best source for a sentence; None without sources, or for a sentence without words."""
        said = words(sentence)
        if not said or not self._passages:
            return None
        # A sentence that only repeats the question is judged by all its words.
        new = said - self._asked
        is_echo = not new
        new = new or said
        shares = [(known.share(new), len(said & known.words)) for known in self._passages]
        best = shares.index(max(shares))
        passage = self._passages[best]
        asked = max(passage.shared(self._asked), default=0)
        quote = passage.quote(new, said)
        is_to_the_point = len(said & self._asked) >= asked and not _IS_QUESTION.search(quote)
        return Support(best + 1, shares[best][0], quote, is_echo, is_to_the_point)

    def asked_share(self) -> float:
        """Share of the question's words that the sentence closest to it has, 0 to 1."""
        shared = [n for known in self._passages for n in known.shared(self._asked)]
        return max(shared, default=0) / len(self._asked) if self._asked else 1.0

    def quotes(self, count: int, others: Iterable[int] = ()) -> list[Quote]:
        """Quotes at most `count` sentences of the best source, and maybe one of another source.

        The other source is the first of `others`, numbers from 2, whose quote has a word of the
        question that the first quote lacks (docs/decisions/0105). Empty without sources.
        """
        first = self._passages[0].closest_quote(self._asked, count) if self._passages else None
        if first is None:
            return []
        missing = self._asked - words(first.text)
        quotes = (self._passages[number - 1].closest_quote(self._asked, 1) for number in others)
        second = next((quote for quote in quotes if quote and words(quote.text) & missing), None)
        return [first, second] if second else [first]

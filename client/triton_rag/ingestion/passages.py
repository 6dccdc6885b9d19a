"""Cuts the text of a file into passages that fit the embedder.

A passage is a slice of the text. It begins at a heading, a paragraph, a sentence, a line
or at worst a word: at the strongest of these within reach. Between passages are only spaces.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from triton_rag.collections import Passage
from triton_rag.ingestion.file_text import MESSAGE, FileText

LONGEST_WORD = 24
"""Most characters of a word; longer runs without spaces (Chinese, base64) count as several."""

_WORD = re.compile(
    rf"(?:(?![。！？｡])\S){{0,{LONGEST_WORD - 2}}}[。！？｡][”’」』）]?|\S{{1,{LONGEST_WORD}}}"
)
_SENTENCE_END = re.compile(r"[.!?…؟۔।॥։።။។][\"'”’)\]]*$|[。！？｡][”’」』）]*$")
_BEGINS_MESSAGE = re.compile(MESSAGE)
_SMALL_PART = 8
"""A section that is shorter than a passage's longest length divided by this joins the next one: a
heading without text, or with one line, says more with what follows."""


class Boundary(IntEnum):
    """What begins at a word."""

    PIECE = 0
    """The rest of a longer run without spaces."""
    WORD = 1
    LINE = 2
    SENTENCE = 3
    PARAGRAPH = 4
    HEADING = 5


@dataclass(frozen=True)
class Words:
    """The words of a text in order, as arrays, because another process finds and sends them.

    `starts` and `ends` are INT64 [words] in characters, `boundaries` INT8 [words], and `index`
    INT64 [words] is each word's place in `vocabulary`.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    boundaries: NDArray[np.int8]
    index: NDArray[np.int64]
    vocabulary: tuple[str, ...]
    """Each different word once, with the spaces before it: some tokenizers count those too."""


def passages(
    text: FileText, words: Words, counts: Sequence[int], max_tokens: int
) -> Iterator[Passage]:
    """The passages of a text in order, with their headings, and `start` and `end` in characters.

    `counts` are the numbers of tokens of the vocabulary's words. A passage has up to `max_tokens`,
    unless it is a single word with more. Its page is the page of its middle.
    """
    begins = [section.start for section in text.sections]
    tokens = np.asarray(counts, np.int64)[words.index].tolist()
    for first, last in cuts(words.boundaries.tolist(), tokens, max_tokens):
        start, end = int(words.starts[first]), int(words.ends[last - 1])
        middle = text.sections[bisect_right(begins, (start + end) // 2) - 1]
        ended = text.sections[bisect_right(begins, end - 1) - 1]
        about = {"headings": list(ended.headings), "start": start, "end": end}
        yield Passage(text.text[start:end], middle.page or 0, about)


def find_words(given: FileText) -> Words:
    """The words of a text, and what begins at each."""
    text, before, headings = given.text, 0, list(_heading_starts(given))[::-1]
    vocabulary: dict[str, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for piece in _WORD.finditer(text):
        start, end = piece.span()
        boundary = _boundary(text, before, start)
        while headings and headings[-1] <= start:
            boundary = Boundary.HEADING
            headings.pop()
        word = text[before:end]
        rows.append((start, end, boundary, vocabulary.setdefault(word, len(vocabulary))))
        before = end
    starts, ends, boundaries, index = np.array(rows, np.int64).reshape(-1, 4).T
    return Words(starts, ends, boundaries.astype(np.int8), index, tuple(vocabulary))


def cuts(
    boundaries: Sequence[int], counts: Sequence[int], max_tokens: int
) -> Iterator[tuple[int, int]]:
    """The first word of each passage, and the word after its last."""
    for first, end in _sections(boundaries, counts, max_tokens // _SMALL_PART):
        begin = first
        while begin < end:
            last = _cut(boundaries, counts, begin, end, max_tokens)
            yield begin, last
            begin = last


def _heading_starts(text: FileText) -> Iterator[int]:
    yield from (
        after.start
        for before, after in pairwise(text.sections)
        if after.headings != before.headings
    )


def _boundary(text: str, end: int, start: int) -> Boundary:
    """What begins at `start`, where the word before ends at `end`."""
    breaks = text.count("\n", end, start)
    if breaks > 1 or end == 0 or (breaks and _BEGINS_MESSAGE.match(text, start)):
        return Boundary.PARAGRAPH
    if _SENTENCE_END.search(text, max(0, end - 4), end):
        return Boundary.SENTENCE
    if breaks:
        return Boundary.LINE
    return Boundary.WORD if end < start else Boundary.PIECE


def _sections(
    boundaries: Sequence[int], counts: Sequence[int], fewest_tokens: int
) -> Iterator[tuple[int, int]]:
    """The words of each section, those with fewer tokens joined to the next one."""
    first, tokens = 0, 0
    for index, (boundary, count) in enumerate(zip(boundaries, counts, strict=True)):
        if boundary == Boundary.HEADING and index > first and tokens >= fewest_tokens:
            yield first, index
            first, tokens = index, 0
        tokens += count
    if first < len(counts):
        yield first, len(counts)


def _cut(
    boundaries: Sequence[int], counts: Sequence[int], first: int, end: int, max_tokens: int
) -> int:
    """The word after the last of the passage that begins at `first`.

    It is at the strongest boundary in the second half of what fits, the last of equal ones.
    """
    last, tokens, best = first + 1, counts[first], None
    while last < end and tokens + counts[last] <= max_tokens:
        tokens += counts[last]
        last += 1
        is_far = 2 * tokens >= max_tokens
        if last < end and is_far and (best is None or boundaries[last] >= boundaries[best]):
            best = last
    return last if last == end or best is None else best

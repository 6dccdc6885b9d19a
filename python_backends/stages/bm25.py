"""How well the words of each passage match those of the query.

BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009) over
the passages of one request. It finds names, numbers and identifiers that an embedding blurs.

A word is a run of letters, marks and digits, compared without case and in Unicode's form NFKC.
Words that one of `-._/:@` connects, such as `E-1042`, `foo_bar` and `4.2`, count as a whole too.
A long word has half of its weight in its beginning, so that "compressed" finds "compresses" without
the rules of a language. In scripts without spaces, pairs of characters count as words.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from python_backends.tensors import Array

K1 = 1.2
"""How much repetitions of a word count; the usual value."""
B = 0.75
"""How much a passage's length counts, 0 to 1; the usual value."""

BEGINNING = 6
"""Number of characters in the beginning of a long word (docs/decisions/0046)."""

SEPARATOR, WORD, UNSPACED, JOINER, INVISIBLE = range(5)
"""Kinds of characters."""

_JOINERS = "-._/:@"
_UNSPACED_SCRIPTS = (  # first words of their characters' Unicode names
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "YI "),
    *("THAI", "LAO", "KHMER", "MYANMAR", "TAI ", "NEW TAI ", "JAVANESE", "BALINESE"),
)
_END_OF_LETTERS = 0x33480  # Unicode 17 has no letters and digits beyond it


class Words(NamedTuple):
    """Where the words of a text are: INT64 [words] each."""

    starts: Array
    lengths: Array


def word_scores(query: str, passages: Sequence[str]) -> Array:
    """BM25 of each passage, FP64 [passages]; 0 for a passage with no word of the query."""
    codes, bounds = code_points(passages)
    words, beginnings = find_words(codes)
    lengths = _per_passage(np.sort(words.starts, kind="stable"), bounds)  # some runs in order
    damping = K1 * (1 - B + B * lengths / max(1.0, lengths.mean()))
    terms = query_terms(query)
    found = _occurrences(codes, words, beginnings, terms)
    scores = np.zeros(len(passages))
    for weight, starts in zip(terms.values(), found, strict=True):
        count = _per_passage(starts, bounds)
        having = np.count_nonzero(count)
        rarity = np.log1p((len(passages) - having + 0.5) / (having + 0.5))
        scores += weight * rarity * count * (K1 + 1) / (count + damping)
    return scores


def query_terms(query: str) -> dict[str, float]:
    """The different words and beginnings of the query, in order, with the weight of each."""
    codes, _ = code_points([query])
    spans = zip(*find_words(codes)[0], strict=True)
    found = {"".join(map(chr, codes[start : start + length])) for start, length in spans}
    long = {word for word in found if len(word) > BEGINNING and not set(word) & set(_JOINERS)}
    halves = dict.fromkeys(long | {word[:BEGINNING] for word in long}, 0.5)
    return dict(sorted((halves | dict.fromkeys(found - long, 1.0)).items()))


def code_points(texts: Sequence[str]) -> tuple[Array, Array]:
    """The characters of all texts, normalized and with separators around each text, UINT32
    [characters]; and where each text begins, INT64 [texts + 1]: the last one is the end.

    Normalized means NFKC without case and without invisible characters, such as soft hyphens.
    """
    folded = [unicodedata.normalize("NFKC", text).casefold() for text in texts]
    bounds = np.cumsum([1, *(len(text) + 1 for text in folded)])
    codes = np.frombuffer("\n".join(["", *folded, ""]).encode("utf-32-le"), np.uint32)
    invisible = np.flatnonzero(character_kinds()[codes] == INVISIBLE)
    return np.delete(codes, invisible), bounds - np.searchsorted(invisible, bounds)


def find_words(codes: Array) -> tuple[Words, Array]:
    """The words, connected words and pairs of characters; and where long words begin."""
    kinds = character_kinds()[codes]
    is_word, is_joiner = kinds == WORD, kinds == JOINER
    is_joiner[1:-1] &= is_word[:-2] & is_word[2:]
    joined = _runs(is_word | is_joiner)
    has_joiner = np.unique(np.searchsorted(joined.starts, np.flatnonzero(is_joiner), "right") - 1)
    connected = Words(joined.starts[has_joiner], joined.lengths[has_joiner])
    words = _runs(is_word)
    found = (words, connected, *_characters(kinds == UNSPACED))
    beginnings = words.starts[words.lengths > BEGINNING]
    return Words(*map(np.concatenate, zip(*found, strict=True))), beginnings


def _occurrences(
    codes: Array, words: Words, beginnings: Array, terms: Iterable[str]
) -> Iterator[Array]:
    """Where each term, in order, is a word or the beginning of one."""
    by_length = {n: words.starts[words.lengths == n] for n in set(map(len, terms))}
    if BEGINNING in by_length:
        by_length[BEGINNING] = np.sort(np.concatenate([by_length[BEGINNING], beginnings]))
    spelled = {n: _texts(codes, starts, n) for n, starts in by_length.items()}
    for term in terms:
        yield by_length[len(term)][spelled[len(term)] == term]


def _texts(codes: Array, starts: Array, length: int) -> Array:
    """The texts of `length` characters that begin at `starts`, as numpy keeps them, in UTF-32."""
    return codes[starts[:, None] + np.arange(length)].view(f"<U{length}")[:, 0]


@cache
def character_kinds() -> Array:
    """The kind of every code point, UINT8 [code points]; the first call takes 0.2 s."""
    kinds = np.full(0x110000, SEPARATOR, np.uint8)
    kinds[:_END_OF_LETTERS] = [_kind(chr(code)) for code in range(_END_OF_LETTERS)]
    return kinds


def _kind(character: str) -> int:
    category, name = unicodedata.category(character), unicodedata.name(character, "")
    if character in _JOINERS:
        return JOINER
    if category == "Cf" or name.startswith("VARIATION SELECTOR"):
        return INVISIBLE
    if category[0] in "LMN":  # letters, marks, numbers
        return UNSPACED if name.startswith(_UNSPACED_SCRIPTS) else WORD
    return SEPARATOR


def _runs(mask: Array) -> Words:
    edges = np.flatnonzero(mask[1:] != mask[:-1]) + 1
    return Words(edges[::2], edges[1::2] - edges[::2])


def _characters(mask: Array) -> Iterator[Words]:
    """Characters without a neighbour, and every pair of neighbours."""
    runs = _runs(mask)
    lone = runs.lengths == 1
    yield Words(runs.starts[lone], runs.lengths[lone])
    pairs = np.flatnonzero(mask[1:] & mask[:-1])
    yield Words(pairs, np.full(len(pairs), 2))


def _per_passage(starts: Array, bounds: Array) -> Array:
    """How many of the sorted `starts` are between each two neighbouring `bounds`."""
    return np.diff(np.searchsorted(starts, bounds))

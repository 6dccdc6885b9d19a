"""`passage_splitter`: documents to passages that fit the encoders and the prompt."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import numpy as np

from ensembles.contracts import PASSAGE_SPLITTER
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.sentences import Span, is_heading, sentence_spans
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import (
    load_tokenizer,
    require_length,
    require_question,
    require_text,
)

_LONGEST_TOKEN_CHARACTERS = 24
"""Vocabularies have few longer words."""
_PART_CHARACTERS = 3
"""An LLM's tokens of base64, keys and URLs have 1.5 to 3 characters."""
_SMALL_PART = 8
"""A section of less than this part of a passage joins the next one, as `ingest` has it."""


class Boundary(IntEnum):
    """What begins with a token, the strongest last."""

    SENTENCE = 1
    PARAGRAPH = 2
    HEADING = 3


class PassageSplitterStage(Stage):
    """Cuts documents longer than `max_passage_tokens`, at headings and paragraphs.

    The passages are consecutive slices of their document. A request with more than `max_passages`
    is refused: they are one batch of the encoders.
    """

    contract = PASSAGE_SPLITTER

    def __init__(self, context: StageContext) -> None:
        self._tokenizer = load_tokenizer(context.engine_folder())
        self._max_tokens = context.integer("max_passage_tokens")
        self._max_passages = context.integer("max_passages")
        self._max_question_tokens = context.integer("max_question_tokens")

    def answer(self, request: Tensors) -> Outputs:
        question = request.text("question")
        require_question(self._tokenizer, question, self._max_question_tokens)
        documents = request.texts("documents")
        require_length("documents", sum(map(len, documents)), self._max_passages * self._max_tokens)
        require_text("documents", documents)
        encodings = self._tokenizer.encode_batch(documents, add_special_tokens=False)
        passages: list[str] = []
        owners: list[int] = []
        for index, (document, encoding) in enumerate(zip(documents, encodings, strict=True)):
            spans = list(short_spans(encoding.offsets))
            for start, end in split(document, spans, self._max_tokens):
                if passage := document[start:end].strip():
                    passages.append(passage)
                    owners.append(index)
        self._check(len(documents), len(passages))
        return {
            "query": [question],
            "query_type": ["query"],
            "passages": passages,
            "passage_type": ["passage"],
            "passage_document": np.array(owners, dtype=np.int32),
        }

    def _check(self, documents: int, passages: int) -> None:
        if not passages:
            raise RequestError(f"documents: {documents} given, none has text that can be read")
        if passages > self._max_passages:
            raise RequestError(
                f"documents: {documents} given, which make {passages} passages of up to "
                f"{self._max_tokens} tokens; at most {self._max_passages} passages are possible"
            )


def short_spans(offsets: Sequence[Span]) -> Iterator[Span]:
    """The spans of tokens, long ones in parts.

    A run without spaces, such as base64, is one unknown token of an embedder, and hundreds of an
    LLM. So it counts as what an LLM would make of it.
    """
    for start, end in offsets:
        if end - start <= _LONGEST_TOKEN_CHARACTERS:
            yield start, end
        else:
            starts = range(start, end, _PART_CHARACTERS)
            yield from ((at, min(at + _PART_CHARACTERS, end)) for at in starts)


def split(text: str, offsets: Sequence[Span], max_tokens: int) -> Iterator[Span]:
    """The passages of a text whose tokens have the spans `offsets`.

    A text of up to `max_tokens` tokens is one passage. Others are cut at headings, and between them
    at a paragraph, a sentence or at worst a token, whichever is the strongest in the second half of
    what fits.
    """
    fits = len(offsets) <= max_tokens
    begins = {} if fits else _boundaries(text, [start for start, _ in offsets])
    for start, end in _sections(begins, len(offsets), max_tokens // _SMALL_PART):
        first = start
        while first < end:
            last = end if end - first <= max_tokens else _cut(begins, first, max_tokens)
            while first + 1 < last < end and offsets[last][0] < offsets[last - 1][1]:
                last -= 1  # the bytes of one character may be several tokens
            yield offsets[first][0], offsets[last - 1][1]
            first = last


def _boundaries(text: str, starts: Sequence[int]) -> dict[int, Boundary]:
    """What begins at a token, in their order; `starts` are the tokens' first characters."""
    found: dict[int, Boundary] = {}
    before = 0
    for start, end in sentence_spans(text):
        boundary = Boundary.SENTENCE
        if is_heading(text, (start, end)):
            boundary = Boundary.HEADING
        elif text.count("\n", before, start) > 1:
            boundary = Boundary.PARAGRAPH
        token = bisect_left(starts, start)
        found[token] = max(boundary, found.get(token, boundary))
        before = end
    return found


def _sections(
    begins: Mapping[int, Boundary], tokens: int, fewest_tokens: int
) -> Iterator[tuple[int, int]]:
    """The first token of each section and the one after its last; small ones join the next."""
    first = 0
    for token, boundary in begins.items():
        if boundary == Boundary.HEADING and first + max(fewest_tokens, 1) <= token < tokens:
            yield first, token
            first = token
    if first < tokens:
        yield first, tokens


def _cut(begins: Mapping[int, Boundary], first: int, max_tokens: int) -> int:
    """The token after the last of a passage that begins at `first` and can't go on to its end."""
    last = first + max_tokens
    fitting = [token for token in range(last, first + 1, -1) if token in begins]
    far = [token for token in fitting if 2 * (token - first) >= max_tokens]
    return max(far or fitting[:1] or [last], key=lambda token: begins.get(token, 0))

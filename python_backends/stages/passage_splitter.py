"""`passage_splitter`: documents to passages that fit the encoders and the prompt."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from ensembles.contracts import PASSAGE_SPLITTER
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.headings import Outline, in_context, outline
from python_backends.sentences import Span, sentence_spans
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import (
    load_tokenizer,
    require_length,
    require_question,
    require_text,
)

_LONGEST_TOKEN_CHARACTERS = 24
"""Longest word, in characters, that counts as one token: vocabularies have few longer ones."""
_PART_CHARACTERS = 3
"""Characters of a longer word that count as a token: an LLM's tokens of base64, keys and URLs have
1.5 to 3."""


class PassageSplitterStage(Stage):
    """Cuts documents longer than `max_passage_tokens` after sentences.

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
        contexts: list[str] = []
        owners: list[int] = []
        for index, (document, encoding) in enumerate(zip(documents, encodings, strict=True)):
            cut = list(self._cut(document, encoding.offsets))
            passages += [passage for passage, _ in cut]
            contexts += [context for _, context in cut]
            owners += [index] * len(cut)
        self._check(len(documents), len(passages))
        return {
            "query": [question],
            "query_type": ["query"],
            "passages": passages,
            "passages_in_context": contexts,
            "passage_type": ["passage"],
            "passage_document": np.array(owners, dtype=np.int32),
        }

    def _cut(self, document: str, offsets: Sequence[Span]) -> Iterator[tuple[str, str]]:
        """Each passage of a document, alone and, if there are several, below its headings."""
        sentences = sentence_spans(document)
        spans = list(split(list(short_spans(offsets)), sentences, self._max_tokens))
        headings = outline(document, sentences) if len(spans) > 1 else Outline()
        for start, end in spans:
            if passage := document[start:end].strip():
                yield passage, in_context([headings.above(end - 1)], passage)

    def _check(self, documents: int, passages: int) -> None:
        if not passages:
            raise RequestError(f"documents: {documents} given, none has text that can be read")
        if passages > self._max_passages:
            raise RequestError(
                f"documents: {documents} given, which make {passages} passages of up to "
                f"{self._max_tokens} tokens; at most {self._max_passages} passages are possible"
            )


def short_spans(offsets: Sequence[Span]) -> Iterator[Span]:
    """The spans of tokens; long ones are divided.

    A run without spaces, such as base64, is one unknown token of an embedder, and hundreds of
    tokens of an LLM. So it counts as about as many as an LLM would make of it.
    """
    for start, end in offsets:
        if end - start <= _LONGEST_TOKEN_CHARACTERS:
            yield start, end
        else:
            starts = range(start, end, _PART_CHARACTERS)
            yield from ((at, min(at + _PART_CHARACTERS, end)) for at in starts)


def split(offsets: Sequence[Span], sentences: Sequence[Span], max_tokens: int) -> Iterator[Span]:
    """The passages of a text whose tokens have the spans `offsets`.

    A passage has up to `max_tokens` tokens and ends after a sentence if one ends in it.
    """
    starts = [start for start, _ in offsets]
    begins = [0, *(bisect_left(starts, start) for start, _ in sentences)]
    first = 0
    while first < len(offsets):
        last = min(first + max_tokens, len(offsets))
        if last < len(offsets):
            begun = begins[bisect_right(begins, last) - 1]
            last = begun if first + 1 < begun <= last else last
        while first + 1 < last < len(offsets) and offsets[last][0] < offsets[last - 1][1]:
            last -= 1  # one character's bytes may be several tokens
        yield offsets[first][0], offsets[last - 1][1]
        first = last

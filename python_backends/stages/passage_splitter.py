"""`passage_splitter`: documents to passages that the encoders and the prompt can hold."""

from collections.abc import Iterator, Sequence

import numpy as np

from ensembles.contracts import PASSAGE_SPLITTER
from python_backends.stage import Outputs, RequestError, Stage, StageContext, Tensors
from python_backends.tokenization import load_tokenizer, require_text

_SENTENCE_ENDS = (".", "!", "?", "。", "！", "？", "\n")

Span = tuple[int, int]


class PassageSplitterStage(Stage):
    """A document within `max_passage_tokens` is one passage; a longer one is cut behind sentences.

    Nothing is lost: passages are slices of the document that follow each other. More than
    `max_passages` of them are refused (the encoders' batch is bounded).
    """

    contract = PASSAGE_SPLITTER

    def __init__(self, context: StageContext) -> None:
        self._tokenizer = load_tokenizer(context.engine_folder())
        self._max_tokens = context.integer("max_passage_tokens")
        self._max_passages = context.integer("max_passages")

    def answer(self, request: Tensors) -> Outputs:
        """The question, checked; passages in order, and for each the index of its document."""
        query = require_text("question", [request.text("question")])
        documents = require_text("documents", request.texts("documents"))
        encodings = self._tokenizer.encode_batch(documents, add_special_tokens=False)
        passages: list[str] = []
        owners: list[int] = []
        for index, (document, encoding) in enumerate(zip(documents, encodings, strict=True)):
            for start, end in split(document, encoding.offsets, self._max_tokens):
                if passage := document[start:end].strip():
                    passages.append(passage)
                    owners.append(index)
        self._check(len(documents), len(passages))
        return {
            "query": query,
            "passages": passages,
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


def split(text: str, offsets: Sequence[Span], max_tokens: int) -> Iterator[Span]:
    """Character spans of the passages: up to `max_tokens` tokens, cut behind a sentence if any.

    `offsets` are the character spans of the text's tokens.
    """
    first = 0
    while first < len(offsets):
        last = min(first + max_tokens, len(offsets))
        if last < len(offsets):
            last = _sentence_end(text, offsets, first, last)
        while first + 1 < last < len(offsets) and offsets[last][0] < offsets[last - 1][1]:
            last -= 1  # tokens that are bytes of one character stay together
        yield offsets[first][0], offsets[last - 1][1]
        first = last


def _sentence_end(text: str, offsets: Sequence[Span], first: int, last: int) -> int:
    """The token behind the last sentence end in the window; else `last`, in mid-sentence."""
    for token in range(last, first + 1, -1):
        gap = text[offsets[token - 1][1] - 1 : offsets[token][0]]
        if (gap[:1] in _SENTENCE_ENDS and (len(gap) > 1 or gap[:1] > "\x7f")) or "\n" in gap:
            return token
    return last

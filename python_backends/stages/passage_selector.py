"""`passage_selector`: chooses passages for the reranker, by similarity and by words."""

from collections.abc import Sequence

import numpy as np

from ensembles.contracts import PASSAGE_SELECTOR
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.sentences import one_line, sentences
from python_backends.stage import Stage
from python_backends.stages.bm25 import character_kinds, word_scores
from python_backends.stages.fusion import best_first, read_count, scaled
from python_backends.tensors import Array, Outputs, Tensors
from python_backends.tokenization import require_text


class PassageSelectorStage(Stage):
    """Exact search: cosine and BM25 of every passage count the same."""

    contract = PASSAGE_SELECTOR

    def __init__(self, context: StageContext) -> None:
        self._num_candidates = context.integer("num_candidates")
        self._max_sentences = context.integer("max_sentences")
        character_kinds()  # slow the first time

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_candidates", self._num_candidates)
        similarity = cosines(
            request.array("passage_embedding"), request.array("query_embedding")[0]
        )
        passages = require_text("passages", request.texts("passages"))
        contexts = _in_context(request, passages)
        words = scaled_words(request.text("query"), contexts)
        order = best_first(scaled(similarity) + words, count)
        candidates = [passages[index] for index in order]
        return {
            "candidates": candidates,
            "candidates_in_context": [contexts[index] for index in order],
            "candidate_document": request.array("passage_document")[order],
            "candidate_similarity": similarity[order],
            "candidate_words": words[order],
            **candidate_sentences(candidates, self._max_sentences),
            "num_searched": np.array([len(passages)], np.int32),
        }


def _in_context(request: Tensors, passages: Sequence[str]) -> Sequence[str]:
    """The passages below their headings, where they are given."""
    if "passages_in_context" not in request:
        return passages
    contexts = request.texts("passages_in_context")
    if len(contexts) != len(passages):
        raise RequestError(
            f"passages_in_context: {len(contexts):,} given; as many as passages are needed, "
            f"{len(passages):,}"
        )
    return contexts


def scaled_words(query: str, passages: Sequence[str]) -> Array:
    """BM25, scaled over the passages: FP32 [passages], 0 to 1."""
    return scaled(word_scores(query, passages)).astype(np.float32)


def cosines(rows: Array, row: Array) -> Array:
    """The cosine of each row [rows, width] with `row`; not every embedder normalizes its rows."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(row)
    cosine: Array = rows @ row / np.maximum(lengths, np.finfo(np.float32).tiny)
    return cosine


def candidate_sentences(candidates: Sequence[str], max_sentences: int) -> Outputs:
    """The tensors of `ensembles.contracts.CANDIDATE_SENTENCES`: at most `max_sentences` of them.

    Where more candidates than that are given, each is one sentence.
    """
    most = max(1, max_sentences // len(candidates))
    pieces = [joined(sentences(candidate), most) for candidate in candidates]
    owners = np.repeat(np.arange(len(pieces), dtype=np.int32), list(map(len, pieces)))
    return {
        "sentences": [sentence for piece in pieces for sentence in piece],
        "sentence_type": ["passage"],
        "sentence_candidate": owners,
    }


def joined(texts: Sequence[str], most: int) -> list[str]:
    """The texts, with neighbours joined so that at most `most` are left."""
    size = -(-len(texts) // most)
    if size == 1:
        return list(texts)
    return [one_line(" ".join(texts[i : i + size])) for i in range(0, len(texts), size)]

"""`passage_selector`: the passages that the reranker judges, by similarity and by words."""

from collections.abc import Sequence

import numpy as np

from ensembles.contracts import PASSAGE_SELECTOR
from python_backends.context import StageContext
from python_backends.stage import Stage
from python_backends.stages.bm25 import character_kinds, word_scores
from python_backends.stages.fusion import best_first, read_count, scaled
from python_backends.tensors import Array, Outputs, Tensors


class PassageSelectorStage(Stage):
    """Exact search: cosine and BM25 of every passage count the same."""

    contract = PASSAGE_SELECTOR

    def __init__(self, context: StageContext) -> None:
        self._num_candidates = context.integer("num_candidates")
        character_kinds()  # slow the first time

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_candidates", self._num_candidates)
        similarity = cosines(
            request.array("passage_embedding"), request.array("query_embedding")[0]
        )
        score = combined_scores(request.text("query"), request.texts("passages"), similarity)
        order = best_first(score, count)
        return {
            "candidates": request.array("passages")[order],
            "candidate_document": request.array("passage_document")[order],
            "candidate_similarity": similarity[order],
            "candidate_score": score[order],
        }


def combined_scores(query: str, passages: Sequence[str], similarity: Array) -> Array:
    """Similarity and words, each scaled over the passages: FP32 [passages], 0 to 2."""
    score: Array = scaled(similarity) + scaled(word_scores(query, passages))
    return score.astype(np.float32)


def cosines(rows: Array, row: Array) -> Array:
    """The cosine of each row [rows, width] with `row`; not every embedder normalizes its rows."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(row)
    cosine: Array = rows @ row / np.maximum(lengths, np.finfo(np.float32).tiny)
    return cosine

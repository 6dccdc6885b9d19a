"""`passage_selector`: the passages nearest to the query, as candidates for the reranker."""

import numpy as np

from ensembles.contracts import PASSAGE_SELECTOR
from python_backends.stage import Outputs, RequestError, Stage, StageContext, Tensors


def read_count(request: Tensors, name: str, default: int) -> int:
    """An optional positive count; raises `RequestError`."""
    value = request.scalar(name)
    if value is not None and value < 1:
        raise RequestError(f"{name}: {value} given; 1 or more is possible")
    return default if value is None else int(value)


class PassageSelectorStage(Stage):
    """Exact search: one matrix product over normalised embeddings, best first, ties by position."""

    contract = PASSAGE_SELECTOR

    def __init__(self, context: StageContext) -> None:
        self._num_candidates = context.integer("num_candidates")

    def answer(self, request: Tensors) -> Outputs:
        """Up to `num_candidates` passages with their cosine similarity."""
        count = read_count(request, "num_candidates", self._num_candidates)
        similarity = request.array("passage_embedding") @ request.array("query_embedding")[0]
        order = np.argsort(-similarity, kind="stable")[:count]
        return {
            "candidates": request.array("passages")[order],
            "candidate_document": request.array("passage_document")[order],
            "candidate_similarity": similarity[order],
        }

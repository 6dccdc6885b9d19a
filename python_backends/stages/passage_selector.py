"""`passage_selector`: the passages most similar to the query, as candidates for the reranker."""

import numpy as np

from ensembles.contracts import PASSAGE_SELECTOR
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors


def read_count(request: Tensors, name: str, default: int) -> int:
    """An optional input of at least 1; raises `RequestError`."""
    value = request.scalar(name)
    if value is not None and value < 1:
        raise RequestError(f"{name}: {value} given; 1 or more is possible")
    return default if value is None else int(value)


class PassageSelectorStage(Stage):
    """Exact search: cosine similarity by one matrix product; equal passages stay in order."""

    contract = PASSAGE_SELECTOR

    def __init__(self, context: StageContext) -> None:
        self._num_candidates = context.integer("num_candidates")

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_candidates", self._num_candidates)
        similarity = request.array("passage_embedding") @ request.array("query_embedding")[0]
        order = np.argsort(-similarity, kind="stable")[:count]
        return {
            "candidates": request.array("passages")[order],
            "candidate_document": request.array("passage_document")[order],
            "candidate_similarity": similarity[order],
        }

"""`source_ranker`: the candidates with the highest relevance, as sources."""

import numpy as np

from ensembles.contracts import SOURCE_RANKER
from python_backends.context import StageContext
from python_backends.stage import Stage
from python_backends.stages.passage_selector import read_count
from python_backends.tensors import Outputs, Tensors


class SourceRankerStage(Stage):
    """Highest relevance first; equal ones stay in order of similarity."""

    contract = SOURCE_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_sources = context.integer("num_sources")

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_sources", self._num_sources)
        relevance = request.array("relevance")[:, 0]
        order = np.argsort(-relevance, kind="stable")[:count]
        return {
            "sources": request.array("candidates")[order],
            "source_document": request.array("candidate_document")[order],
            "source_similarity": request.array("candidate_similarity")[order],
            "source_relevance": relevance[order],
        }

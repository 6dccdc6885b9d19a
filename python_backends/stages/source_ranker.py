"""`source_ranker`: candidates in order of the reranker's relevance, cut to the sources wanted."""

import numpy as np

from ensembles.contracts import SOURCE_RANKER
from python_backends.stage import Outputs, Stage, StageContext, Tensors
from python_backends.stages.passage_selector import read_count


class SourceRankerStage(Stage):
    """Most relevant first; ties keep the order of the embedder."""

    contract = SOURCE_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_sources = context.integer("num_sources")

    def answer(self, request: Tensors) -> Outputs:
        """Up to `num_sources` sources with both scores."""
        count = read_count(request, "num_sources", self._num_sources)
        relevance = request.array("relevance")[:, 0]
        order = np.argsort(-relevance, kind="stable")[:count]
        return {
            "sources": request.array("candidates")[order],
            "source_document": request.array("candidate_document")[order],
            "source_similarity": request.array("candidate_similarity")[order],
            "source_relevance": relevance[order],
        }

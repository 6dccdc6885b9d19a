"""`source_ranker`: the best candidates, as sources."""

from ensembles.contracts import SOURCE_RANKER
from python_backends.context import StageContext
from python_backends.stage import Stage
from python_backends.stages.fusion import fused_order, read_count
from python_backends.tensors import Outputs, Tensors


class SourceRankerStage(Stage):
    """Best first by similarity, words and relevance together; equal ones stay in order."""

    contract = SOURCE_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_sources = context.integer("num_sources")

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_sources", self._num_sources)
        similarity = request.array("candidate_similarity")
        relevance = request.array("relevance")[:, 0]
        order = fused_order(similarity, request.array("candidate_word_score"), relevance)[:count]
        return {
            "sources": request.array("candidates")[order],
            "source_document": request.array("candidate_document")[order],
            "source_similarity": similarity[order],
            "source_relevance": relevance[order],
        }

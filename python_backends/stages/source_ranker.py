"""`source_ranker`: the best candidates, as sources."""

from ensembles.contracts import CANDIDATE_PLACES, PLACES, SOURCE_RANKER
from python_backends.context import StageContext
from python_backends.stage import Stage
from python_backends.stages.fusion import best_first, read_count, scaled
from python_backends.tensors import Outputs, Tensors


class SourceRankerStage(Stage):
    """Adds the reranker's opinion to the candidates' scores; `relevance_percent` says how much."""

    contract = SOURCE_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_sources = context.integer("num_sources")
        self._weight = context.integer("relevance_percent") / 100

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_sources", self._num_sources)
        relevance = request.array("relevance")[:, 0]
        score = request.array("candidate_score") + self._weight * scaled(relevance)
        order = best_first(score, count)
        return {
            "sources": request.array("candidates")[order],
            "source_document": request.array("candidate_document")[order],
            "source_similarity": request.array("candidate_similarity")[order],
            "source_relevance": relevance[order],
            **{
                place.name: request.array(candidate.name)[order]
                for candidate, place in zip(CANDIDATE_PLACES, PLACES, strict=True)
                if candidate.name in request
            },
        }

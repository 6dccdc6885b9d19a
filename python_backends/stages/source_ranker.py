"""`source_ranker`: the candidates, best first, as sources."""

import numpy as np

from ensembles.contracts import CANDIDATE_PLACES, PLACES, SOURCE_RANKER
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.stages.fusion import best_first, scaled
from python_backends.stages.passage_selector import cosines
from python_backends.tensors import Array, Outputs, Tensors


class SourceRankerStage(Stage):
    """Adds similarity, words and the reranker's relevance.

    An embedding of a whole passage blurs the one sentence that answers. So the similarity is half
    that of the passage and half that of its most similar sentence (docs/decisions/0061).
    The manifest's `relevance_percent` is the weight of relevance; the others have 100 each.
    """

    contract = SOURCE_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_read = context.integer("num_read")
        self._weight = context.engine_folder().manifest.relevance_percent / 100

    def answer(self, request: Tensors) -> Outputs:
        relevance = request.array("relevance")[:, 0]
        similarity = (request.array("candidate_similarity") + best_sentences(request)) / 2
        score = scaled(similarity) + request.array("candidate_words")
        order = best_first(score + self._weight * scaled(relevance), len(relevance))
        return {
            "sources": request.array("candidates")[order],
            "source_document": request.array("candidate_document")[order],
            "source_similarity": similarity[order],
            "source_relevance": relevance[order],
            "read_passages": request.array("candidates_in_context")[order[: self._num_read]],
            **{
                place.name: request.array(candidate.name)[order]
                for candidate, place in zip(CANDIDATE_PLACES, PLACES, strict=True)
                if candidate.name in request
            },
        }


def best_sentences(request: Tensors) -> Array:
    """The cosine of each candidate's most similar sentence, FP32 [candidates]."""
    similarity = cosines(request.array("sentence_embedding"), request.array("query_embedding")[0])
    best = np.full(len(request.array("candidates")), -1, dtype=np.float32)
    owners = request.array("sentence_candidate")
    if ((owners < 0) | (owners >= len(best))).any():
        raise RequestError(f"sentence_candidate: from 0 to {len(best) - 1} are candidates here")
    np.maximum.at(best, owners, similarity)
    return best

"""`reader_ranker`: the best sources, after the first ones were read."""

import numpy as np

from ensembles.contracts import PLACES, READER_RANKER, SOURCES
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.stages.fusion import best_first, read_count
from python_backends.tensors import Outputs, Tensors


class ReaderRankerStage(Stage):
    """The relevance of a source that was read is a mean of what reader and reranker say.

    The reader's `relevance_percent` is its share. The sources that were read come first, ordered by
    that relevance; the others keep their order and their relevance (docs/decisions/0119).
    """

    contract = READER_RANKER

    def __init__(self, context: StageContext) -> None:
        self._num_sources = context.integer("num_sources")
        self._share = context.engine_folder().manifest.relevance_percent / 100

    def answer(self, request: Tensors) -> Outputs:
        count = read_count(request, "num_sources", self._num_sources)
        relevance = request.array("ranked_source_relevance").astype(np.float32)
        read = request.array("read_relevance")[:, 0]
        if len(read) > len(relevance):
            raise RequestError(
                f"read_relevance: {len(read)} given; at most {len(relevance)}, the number of "
                "sources, are possible"
            )
        first = relevance[: len(read)]
        first[:] = self._share * read + (1 - self._share) * first
        rest = np.arange(len(first), len(relevance))
        kept = np.concatenate([best_first(first, len(first)), rest])[:count]
        given = {name: f"ranked_{name}" for name in (spec.name for spec in (*SOURCES, *PLACES))}
        sources = {
            name: request.array(ranked)[kept] for name, ranked in given.items() if ranked in request
        }
        return {**sources, "source_relevance": relevance[kept]}

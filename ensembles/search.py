"""`search` and `answer`: a question and a collection to sources, and to a streamed answer.

`search` is an ensemble of Triton's own scheduler. `answer` is run by the graph runner, as
`rag_cancellable` is: it stops when its client disconnects, and keeps the request's deadline.
"""

from ensembles.collections import VECTOR_SEARCH
from ensembles.contracts import (
    CANDIDATE_PLACES,
    EMBEDDER,
    NUM_SEARCHED,
    PAIR_TOKENIZER,
    PLACES,
    READER_RANKER,
    RERANKER,
    SOURCE_RANKER,
    SOURCES,
    TOKENIZER,
    ModelContract,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.rag import answer_graph
from ensembles.retrieve import PAIRS, RANKED, RANKED_PLACES, SENTENCE_STEPS, reading_steps
from ensembles.tensors import DType, optional, tensor

SEARCH_INPUTS = (
    tensor("question", DType.STRING, 1),
    tensor("collection", DType.STRING, 1),
    optional("filter", DType.STRING, 1),
    optional("num_candidates", DType.INT32, 1),
    optional("num_sources", DType.INT32, 1),
)

SEARCH_STEPS = (
    Step(TOKENIZER, inputs={"query_text": "question"}),
    Step(EMBEDDER, outputs={"embedding": "query_embedding"}),
    Step(VECTOR_SEARCH, inputs={"query": "question"}),
    *SENTENCE_STEPS,
    Step(
        PAIR_TOKENIZER,
        inputs={"query": "question", "passages": "candidates_in_context"},
        outputs=PAIRS,
    ),
    Step(RERANKER, inputs=PAIRS),
    # Optional for `source_ranker`; named here, they are required.
    Step(
        SOURCE_RANKER,
        inputs={spec.name: spec.name for spec in CANDIDATE_PLACES},
        outputs=RANKED | RANKED_PLACES,
    ),
    *reading_steps("question"),
    Step(READER_RANKER, inputs={name: name for name in RANKED_PLACES.values()}),
)

SEARCH = EnsembleGraph(
    contract=ModelContract(
        name="search", inputs=SEARCH_INPUTS, outputs=(*SOURCES, *PLACES, NUM_SEARCHED)
    ),
    steps=SEARCH_STEPS,
)

ANSWER = answer_graph("answer", SEARCH_INPUTS, SEARCH_STEPS, (*SOURCES, *PLACES), {})

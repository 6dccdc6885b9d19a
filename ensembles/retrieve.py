"""`retrieve`: question and documents to the best passages, with their scores."""

from ensembles.contracts import (
    EMBEDDER,
    NUM_SEARCHED,
    PAIR_TOKENIZER,
    PASSAGE_SELECTOR,
    PASSAGE_SPLITTER,
    PLACES,
    RERANKER,
    SOURCE_RANKER,
    SOURCES,
    TOKENIZER,
    ModelContract,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.tensors import DType, optional, tensor

RETRIEVAL_INPUTS = (
    tensor("question", DType.STRING, 1),
    tensor("documents", DType.STRING, "documents"),
    optional("num_candidates", DType.INT32, 1),
    optional("num_sources", DType.INT32, 1),
)

NO_PLACES: dict[str, None] = {spec.name: None for spec in PLACES}
"""Outputs of a step that a graph over a request's documents drops."""

PAIRS = {"input_ids": "pair_ids", "attention_mask": "pair_mask", "token_type_ids": "pair_types"}


def embedding_steps(text: str, kind: str, prefix: str, embedding: str) -> tuple[Step, Step]:
    """The graph's texts `text`, of the input type `kind`, to embeddings."""
    ids = {"input_ids": f"{prefix}_ids", "attention_mask": f"{prefix}_mask"}
    return (
        Step(TOKENIZER, inputs={"input_text": text, "input_type": kind}, outputs=ids),
        Step(EMBEDDER, inputs=ids, outputs={"embedding": embedding}),
    )


SENTENCE_STEPS = embedding_steps("sentences", "sentence_type", "sentence", "sentence_embedding")
"""The candidates' sentences to embeddings."""

RETRIEVAL_STEPS = (
    Step(PASSAGE_SPLITTER),
    *embedding_steps("query", "query_type", "question", "query_embedding"),
    *embedding_steps("passages_in_context", "passage_type", "passage", "passage_embedding"),
    Step(PASSAGE_SELECTOR),
    *SENTENCE_STEPS,
    Step(PAIR_TOKENIZER, inputs={"passages": "candidates_in_context"}, outputs=PAIRS),
    Step(RERANKER, inputs=PAIRS),
    Step(SOURCE_RANKER, outputs=NO_PLACES),
)

RETRIEVE = EnsembleGraph(
    contract=ModelContract(
        name="retrieve", inputs=RETRIEVAL_INPUTS, outputs=(*SOURCES, NUM_SEARCHED)
    ),
    steps=RETRIEVAL_STEPS,
)

"""`retrieve`: question and documents to the best passages, with their scores."""

from ensembles.contracts import (
    EMBEDDER,
    NUM_SEARCHED,
    PAIR_TOKENIZER,
    PASSAGE_SELECTOR,
    PASSAGE_SPLITTER,
    PLACES,
    READER,
    READER_RANKER,
    READER_TOKENIZER,
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
"""Outputs that graphs over a request's documents drop: their sources are in no collection."""

PAIRS = {"input_ids": "pair_ids", "attention_mask": "pair_mask", "token_type_ids": "pair_types"}
READ_PAIRS = {name: f"read_{tensor}" for name, tensor in PAIRS.items()}


def embedding_steps(text: str, kind: str, prefix: str, embedding: str) -> tuple[Step, Step]:
    """Two steps from the graph's texts `text`, of the input type `kind`, to `embedding`."""
    ids = {"input_ids": f"{prefix}_ids", "attention_mask": f"{prefix}_mask"}
    return (
        Step(TOKENIZER, inputs={"input_text": text, "input_type": kind}, outputs=ids),
        Step(EMBEDDER, inputs=ids, outputs={"embedding": embedding}),
    )


SENTENCE_STEPS = embedding_steps("sentences", "sentence_type", "sentence", "sentence_embedding")
"""Steps from the candidates' sentences to their embeddings."""

RANKED = {spec.name: f"ranked_{spec.name}" for spec in SOURCES}
RANKED_PLACES = {spec.name: f"ranked_{spec.name}" for spec in PLACES}


def reading_steps(query: str) -> tuple[Step, ...]:
    """The sources that are ranked first are read with the graph's text `query`."""
    return (
        Step(
            READER_TOKENIZER,
            inputs={"query": query, "passages": "read_passages"},
            outputs=READ_PAIRS,
        ),
        Step(READER, inputs=READ_PAIRS, outputs={"relevance": "read_relevance"}),
    )


RETRIEVAL_STEPS = (
    Step(PASSAGE_SPLITTER),
    *embedding_steps("query", "query_type", "question", "query_embedding"),
    *embedding_steps("passages_in_context", "passage_type", "passage", "passage_embedding"),
    Step(PASSAGE_SELECTOR),
    *SENTENCE_STEPS,
    Step(PAIR_TOKENIZER, inputs={"passages": "candidates_in_context"}, outputs=PAIRS),
    Step(RERANKER, inputs=PAIRS),
    Step(SOURCE_RANKER, outputs={**RANKED, **NO_PLACES}),
    *reading_steps("query"),
    Step(READER_RANKER, outputs=NO_PLACES),
)

RETRIEVE = EnsembleGraph(
    contract=ModelContract(
        name="retrieve", inputs=RETRIEVAL_INPUTS, outputs=(*SOURCES, NUM_SEARCHED)
    ),
    steps=RETRIEVAL_STEPS,
)

"""`retrieve`: question and documents to the best passages, with their scores."""

from ensembles.contracts import (
    EMBEDDER,
    PAIR_TOKENIZER,
    PASSAGE_SELECTOR,
    PASSAGE_SPLITTER,
    PLACES,
    RERANKER,
    SOURCE_RANKER,
    SOURCES,
    TOKENIZER,
    ModelContract,
    optional,
    tensor,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.tensors import DType

RETRIEVAL_INPUTS = (
    tensor("question", DType.STRING, 1),
    tensor("documents", DType.STRING, "documents"),
    optional("num_candidates", DType.INT32, 1),
    optional("num_sources", DType.INT32, 1),
)

NO_PLACES: dict[str, str | None] = {spec.name: None for spec in PLACES}
"""Outputs of a step that a graph over a request's documents drops."""

PAIRS = {
    "input_ids": "pair_ids",
    "attention_mask": "pair_mask",
    "token_type_ids": "pair_types",
}

SENTENCE_STEPS = (
    Step(
        TOKENIZER,
        inputs={"input_text": "sentences", "input_type": "sentence_type"},
        outputs={"input_ids": "sentence_ids", "attention_mask": "sentence_mask"},
    ),
    Step(
        EMBEDDER,
        inputs={"input_ids": "sentence_ids", "attention_mask": "sentence_mask"},
        outputs={"embedding": "sentence_embedding"},
    ),
)
"""The candidates' sentences to embeddings."""

RETRIEVAL_STEPS = (
    Step(PASSAGE_SPLITTER),
    Step(
        TOKENIZER,
        inputs={"input_text": "query", "input_type": "query_type"},
        outputs={"input_ids": "question_ids", "attention_mask": "question_mask"},
    ),
    Step(
        EMBEDDER,
        inputs={"input_ids": "question_ids", "attention_mask": "question_mask"},
        outputs={"embedding": "query_embedding"},
    ),
    Step(
        TOKENIZER,
        inputs={"input_text": "passages", "input_type": "passage_type"},
        outputs={"input_ids": "passage_ids", "attention_mask": "passage_mask"},
    ),
    Step(
        EMBEDDER,
        inputs={"input_ids": "passage_ids", "attention_mask": "passage_mask"},
        outputs={"embedding": "passage_embedding"},
    ),
    Step(PASSAGE_SELECTOR),
    *SENTENCE_STEPS,
    Step(PAIR_TOKENIZER, inputs={"passages": "candidates"}, outputs=PAIRS),
    Step(RERANKER, inputs=PAIRS),
    Step(SOURCE_RANKER, outputs=NO_PLACES),
)

RETRIEVE = EnsembleGraph(
    contract=ModelContract(name="retrieve", inputs=RETRIEVAL_INPUTS, outputs=SOURCES),
    steps=RETRIEVAL_STEPS,
)

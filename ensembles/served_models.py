"""Every model of the repository: its contract or graph, the stage behind it, the engine read."""

from dataclasses import dataclass
from typing import Literal

from ensembles.collections import COLLECTIONS, VECTOR_SEARCH
from ensembles.contracts import (
    EMBEDDER,
    LLM,
    PAIR_TOKENIZER,
    PASSAGE_SELECTOR,
    PASSAGE_SPLITTER,
    PROMPT_BUILDER,
    READER,
    READER_RANKER,
    READER_TOKENIZER,
    RERANKER,
    SOURCE_RANKER,
    TOKENIZER,
    ModelContract,
)
from ensembles.embed import EMBED
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UNARY
from ensembles.graph import EnsembleGraph
from ensembles.rag import RAG, RAG_CANCELLABLE
from ensembles.rerank import RERANK
from ensembles.retrieve import RETRIEVE
from ensembles.search import ANSWER, SEARCH


@dataclass(frozen=True)
class PythonModel:
    """A model that runs `stage` (module.Class under python_backends).

    `role` names the engine whose folder it reads, `graph` what it calls; None for nothing.
    """

    contract: ModelContract
    stage: str
    role: Literal["embedder", "reranker", "reader", "llm"] | None = None
    graph: EnsembleGraph | None = None

    @property
    def calls(self) -> frozenset[str]:
        return self.graph.calls if self.graph else frozenset()


PYTHON_MODELS = (
    PythonModel(TOKENIZER, "stages.tokenizer.TokenizerStage", "embedder"),
    PythonModel(EMBEDDER, "stages.encoder.EmbedderStage", "embedder"),
    PythonModel(PASSAGE_SPLITTER, "stages.passage_splitter.PassageSplitterStage", "embedder"),
    PythonModel(PASSAGE_SELECTOR, "stages.passage_selector.PassageSelectorStage"),
    PythonModel(COLLECTIONS, "stages.collections.CollectionsStage", "embedder"),
    PythonModel(VECTOR_SEARCH, "stages.vector_search.VectorSearchStage", "embedder"),
    PythonModel(PAIR_TOKENIZER, "stages.pair_tokenizer.PairTokenizerStage", "reranker"),
    PythonModel(RERANKER, "stages.encoder.RerankerStage", "reranker"),
    PythonModel(SOURCE_RANKER, "stages.source_ranker.SourceRankerStage", "reranker"),
    PythonModel(READER_TOKENIZER, "stages.pair_tokenizer.ReaderTokenizerStage", "reader"),
    PythonModel(READER, "stages.encoder.ReaderStage", "reader"),
    PythonModel(READER_RANKER, "stages.reader_ranker.ReaderRankerStage", "reader"),
    PythonModel(PROMPT_BUILDER, "stages.prompt_builder.PromptBuilderStage", "llm"),
    PythonModel(LLM, "stages.llm.LlmStage", "llm"),
    PythonModel(ENSEMBLE.contract, "stages.graph_runner.EnsembleStage", graph=ENSEMBLE),
    PythonModel(ENSEMBLE_UNARY, "stages.graph_runner.EnsembleUnaryStage", graph=ENSEMBLE),
    PythonModel(
        RAG_CANCELLABLE.contract, "stages.graph_runner.RagCancellableStage", graph=RAG_CANCELLABLE
    ),
    PythonModel(ANSWER.contract, "stages.graph_runner.AnswerStage", graph=ANSWER),
)

ENSEMBLES: tuple[EnsembleGraph, ...] = (EMBED, RERANK, RETRIEVE, RAG, SEARCH)
"""Graphs that Triton's own scheduler serves."""

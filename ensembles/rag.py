"""`rag`: question and documents to a streamed answer with its sources.

The graph is served twice. `rag` is an ensemble of Triton's own scheduler; Triton 2.51 does not pass
a cancellation on to its steps. `rag_cancellable` is run by python_backends/stages/graph_runner.py:
it stops when the client disconnects and keeps the request's deadline.
"""

from collections.abc import Mapping
from dataclasses import replace

from ensembles.contracts import (
    CHECK_GROUNDING,
    EVIDENCE,
    GENERATION,
    LLM,
    PAIR_TOKENIZER,
    PROMPT_BUILDER,
    RERANKER,
    SENTENCE_RELEVANCE,
    SOURCES,
    SOURCES_IN_CONTEXT,
    ModelContract,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.guides import GUIDE
from ensembles.retrieve import NO_PLACES, PAIRS, RETRIEVAL_INPUTS, RETRIEVAL_STEPS
from ensembles.sampling import SAMPLING
from ensembles.tensors import TensorSpec
from ensembles.tool_calls import TOOL_CALLS

_LLM_READS = ("messages", "question", "num_searched", SENTENCE_RELEVANCE.name)

_SENTENCE_PAIRS = {name: f"sentence_{pairs}" for name, pairs in PAIRS.items()}


def answer_graph(
    name: str,
    inputs: tuple[TensorSpec, ...],
    finding: tuple[Step, ...],
    sources: tuple[TensorSpec, ...],
    dropped: Mapping[str, None],
) -> EnsembleGraph:
    """The steps of `finding`, which end in `sources`, and an answer from these.

    `dropped`: what a model could say of sources beside that.
    """
    ranked = {spec.name: f"ranked_{spec.name}" for spec in sources}
    in_prompt = {spec.name: f"prompt_{spec.name}" for spec in sources}
    return EnsembleGraph(
        contract=ModelContract(
            name=name,
            inputs=(*inputs, *SAMPLING, *GUIDE, CHECK_GROUNDING),
            outputs=(*GENERATION, *EVIDENCE, *sources),
            decoupled=True,
        ),
        steps=(
            *finding[:-1],
            replace(finding[-1], outputs={**ranked, **dropped}),
            # Optional for these two models; named here, they are required.
            Step(
                PROMPT_BUILDER,
                {**ranked, SOURCES_IN_CONTEXT.name: SOURCES_IN_CONTEXT.name},
                {f"prompt_{name}": None for name in dropped},
            ),
            Step(
                PAIR_TOKENIZER,
                {"query": "question", "passages": "source_sentences"},
                _SENTENCE_PAIRS,
            ),
            Step(RERANKER, _SENTENCE_PAIRS, {"relevance": SENTENCE_RELEVANCE.name}),
            Step(
                LLM,
                {**in_prompt, **{name: name for name in _LLM_READS}},
                {**dropped, TOOL_CALLS.name: None},
            ),
        ),
    )


RAG = answer_graph("rag", RETRIEVAL_INPUTS, RETRIEVAL_STEPS, SOURCES, NO_PLACES)

RAG_CANCELLABLE = replace(RAG, contract=replace(RAG.contract, name="rag_cancellable"))

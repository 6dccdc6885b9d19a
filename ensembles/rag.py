"""`rag`: question and documents to a streamed answer with its sources.

The graph is served twice. `rag` is an ensemble of Triton's own scheduler; Triton 2.51 does not pass
a cancellation on to its steps. `rag_cancellable` is run by python_backends/stages/graph_runner.py:
it stops when the client disconnects and keeps the request's deadline.
"""

from dataclasses import replace

from ensembles.contracts import (
    CHECK_GROUNDING,
    EVIDENCE,
    GENERATION,
    LLM,
    PROMPT_BUILDER,
    SAMPLING,
    SOURCES,
    ModelContract,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.guides import GUIDE
from ensembles.retrieve import NO_PLACES, RETRIEVAL_INPUTS, RETRIEVAL_STEPS
from ensembles.tool_calls import TOOL_CALLS

_RANKED = {spec.name: f"ranked_{spec.name}" for spec in SOURCES}
_IN_PROMPT = {spec.name: f"prompt_{spec.name}" for spec in SOURCES}

RAG = EnsembleGraph(
    contract=ModelContract(
        name="rag",
        inputs=(*RETRIEVAL_INPUTS, *SAMPLING, *GUIDE, CHECK_GROUNDING),
        outputs=(*GENERATION, *EVIDENCE, *SOURCES),
        decoupled=True,
    ),
    steps=(
        *RETRIEVAL_STEPS[:-1],
        replace(RETRIEVAL_STEPS[-1], outputs={**_RANKED, **NO_PLACES}),
        Step(
            PROMPT_BUILDER,
            inputs=_RANKED,
            outputs={f"prompt_{name}": None for name in NO_PLACES},
        ),
        # Both are optional for `llm`; named here, they are required.
        Step(
            LLM,
            inputs={**_IN_PROMPT, "messages": "messages", "question": "question"},
            outputs={**NO_PLACES, TOOL_CALLS.name: None},
        ),
    ),
)

RAG_CANCELLABLE = replace(RAG, contract=replace(RAG.contract, name="rag_cancellable"))

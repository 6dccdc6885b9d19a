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
    PROMPT_BUILDER,
    SOURCES,
    ModelContract,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.guides import GUIDE
from ensembles.retrieve import NO_PLACES, RETRIEVAL_INPUTS, RETRIEVAL_STEPS
from ensembles.sampling import SAMPLING
from ensembles.tensors import TensorSpec
from ensembles.tool_calls import TOOL_CALLS


def answer_graph(
    name: str,
    inputs: tuple[TensorSpec, ...],
    finding: tuple[Step, ...],
    sources: tuple[TensorSpec, ...],
    dropped: Mapping[str, None],
) -> EnsembleGraph:
    """The steps of `finding`, whose last one gives `sources`, and an answer from these.

    `dropped` are outputs about sources that this graph does not return.
    """
    found = {spec.name: f"found_{spec.name}" for spec in sources}
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
            replace(finding[-1], outputs={**found, **dropped}),
            Step(PROMPT_BUILDER, found, {f"prompt_{name}": None for name in dropped}),
            # Optional for `llm`; named here, they are required.
            Step(
                LLM,
                {**in_prompt, **{name: name for name in ("messages", "question", "num_searched")}},
                {**dropped, TOOL_CALLS.name: None},
            ),
        ),
    )


RAG = answer_graph("rag", RETRIEVAL_INPUTS, RETRIEVAL_STEPS, SOURCES, NO_PLACES)

RAG_CANCELLABLE = replace(RAG, contract=replace(RAG.contract, name="rag_cancellable"))

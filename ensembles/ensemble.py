"""`ensemble`: the contract of NVIDIA's TensorRT-LLM model repository, served by `llm`.

NVIDIA's templates (TensorRT-LLM up to 1.2.1) name their LLM model `ensemble`, and published clients
call it by that name. So this model has the same name, the same tensors and a batch dimension of 1.
Each `text_output` is new text; the last response that has text is the final one.

A model has one shape and one transaction policy. Clients that can't change theirs have an entry of
their own over the same graph: `ensemble_unary` for LiteLLM's `infer`, KServe's SDK and pytriton.
"""

from dataclasses import replace

from ensembles.contracts import EVIDENCE, GENERATION, LLM, PLACES, SOURCES, ModelContract
from ensembles.graph import EnsembleGraph, Step
from ensembles.guides import GUIDE
from ensembles.sampling import NVIDIA_SAMPLING, SAMPLING
from ensembles.tensors import DType, tensor
from ensembles.tool_calls import TOOL_CALLS

_UNUSED = (TOOL_CALLS, *EVIDENCE, *SOURCES, *PLACES)

ENSEMBLE = EnsembleGraph(
    contract=ModelContract(
        name="ensemble",
        inputs=(
            tensor("text_input", DType.STRING, 1),
            *(replace(spec, optional=spec.name != "max_tokens") for spec in SAMPLING),
            *GUIDE,
            *NVIDIA_SAMPLING,
        ),
        outputs=GENERATION,
        batched=True,
        decoupled=True,
    ),
    steps=(Step(LLM, outputs={spec.name: None for spec in _UNUSED}),),
)

ENSEMBLE_UNARY = replace(
    ENSEMBLE.contract,
    name="ensemble_unary",
    inputs=tuple(spec for spec in ENSEMBLE.contract.inputs if spec.name != "stream"),
    batched=False,
    decoupled=False,
)
"""`ensemble` with one response for plain `infer` calls, and shapes without a batch dimension."""

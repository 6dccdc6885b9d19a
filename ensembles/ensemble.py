"""`ensemble`: NVIDIA's de-facto LLM contract (TensorRT-LLM templates up to 1.2.1) over `llm`.

The name, the tensors and the batch dimension of one are what published clients send;
`text_output` is a delta and the last response that has text carries the final flag.
"""

from dataclasses import replace

from ensembles.contracts import (
    CITATIONS,
    GENERATION,
    LLM,
    NVIDIA_SAMPLING,
    SAMPLING,
    SOURCES,
    ModelContract,
    tensor,
)
from ensembles.graph import EnsembleGraph, Step
from ensembles.tensors import DType

_REQUIRED = ("max_tokens",)

ENSEMBLE = EnsembleGraph(
    contract=ModelContract(
        name="ensemble",
        inputs=(
            tensor("text_input", DType.STRING, 1),
            *(replace(spec, optional=spec.name not in _REQUIRED) for spec in SAMPLING),
            *NVIDIA_SAMPLING,
        ),
        outputs=GENERATION,
        batched=True,
        decoupled=True,
    ),
    steps=(Step(LLM, outputs={spec.name: None for spec in (CITATIONS, *SOURCES)}),),
)

"""`ensemble`: the contract of NVIDIA's TensorRT-LLM model repository, served by `llm`.

NVIDIA's templates (TensorRT-LLM up to 1.2.1) name their LLM model `ensemble`, and published clients
call it by that name. So this model has the same name, the same tensors and a batch dimension of 1.
Each `text_output` is new text; the last response that has text is the final one.
"""

from dataclasses import replace

from ensembles.contracts import (
    EVIDENCE,
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

ENSEMBLE = EnsembleGraph(
    contract=ModelContract(
        name="ensemble",
        inputs=(
            tensor("text_input", DType.STRING, 1),
            *(replace(spec, optional=spec.name != "max_tokens") for spec in SAMPLING),
            *NVIDIA_SAMPLING,
        ),
        outputs=GENERATION,
        batched=True,
        decoupled=True,
    ),
    steps=(Step(LLM, outputs={spec.name: None for spec in (*EVIDENCE, *SOURCES)}),),
)

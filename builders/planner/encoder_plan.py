"""What an embedder or reranker takes of a GPU, and at most gives."""

from dataclasses import dataclass
from typing import Any

from builders.errors import BuildError
from builders.planner.llm_cost import COMPUTE_EFFICIENCY
from builders.planner.memory import encoder_gib
from builders.spec import ModelSpec, Sku

PASSAGE_TOKENS = 128
"""Length for which the rate is told: what the passage splitter makes, with the question beside."""


@dataclass(frozen=True)
class EncoderPlan:
    """FP16 on ONNX Runtime. `passages_per_s` is a bound, not calibrated: matrices alone, BF16 rate.

    `memory_gib` is taken from the GPU that the LLM's first rank uses too.
    """

    sku: str
    model: str
    role: str
    memory_gib: float
    max_batch_size: int
    passages_per_s: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return vars(self) | {"precision": "fp16", "passage_tokens": PASSAGE_TOKENS}

    def text(self) -> str:
        """One line."""
        return (
            f"{self.model} on {self.sku}: FP16, ONNX Runtime, {self.memory_gib:.1f} GiB, "
            f"max_batch_size {self.max_batch_size}; below {self.passages_per_s:,.0f} passages of "
            f"{PASSAGE_TOKENS} tokens a second (matrices alone; not calibrated)"
        )


def plan_encoder(spec: ModelSpec, sku: Sku) -> EncoderPlan:
    """Raises `BuildError` when it can't fit, or its sizes aren't known."""
    if sku.gpu is None:
        raise BuildError(f"SKU '{sku.name}' has no GPU")
    memory, total = encoder_gib(spec), sku.gpu.memory_gib.value
    if memory > total:
        raise BuildError(f"'{spec.name}' needs {memory:.1f} GiB; one {sku.name} has {total}")
    matrices = 2 * spec.sizes.layers * spec.sizes.layer_parameters * PASSAGE_TOKENS
    rate = sku.gpu.dense_tflops.bf16.value * 1e12 * COMPUTE_EFFICIENCY / matrices
    batch = sku.place(spec.role).max_batch_size
    return EncoderPlan(sku.name, spec.name, spec.role, memory, batch, rate)

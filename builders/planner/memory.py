"""How the memory of one GPU is shared among weights, buffers, encoders and KV cache."""

from dataclasses import dataclass

from builders.gpu_spec import GIB
from builders.planner.llm_cost import ACTIVATION_PASSES, MLP_PASSES, Deployment
from builders.spec import ModelSpec

RUNTIME_GIB = 2.0
"""CUDA context, TensorRT-LLM's code and workspaces, fragmentation. Assumed; part of the calibrated
model: changing it changes the KV cache that the calibration saw."""

ENCODER_OVERHEAD_GIB = 1.0
"""An encoder's own CUDA context, workspace and batch, beside its FP16 weights. Assumed."""

MAX_KV_FRACTION = 0.9
"""Share of what is free once the engine is loaded; TensorRT-LLM's default."""

BENCHMARK_KV_FRACTION = 0.95
"""What the published benchmarks use (TensorRT-LLM docs, perf-overview)."""


@dataclass(frozen=True)
class MemoryBudget:
    """GiB of the fullest GPU; the LLM takes `kv_cache` for its KV cache, `spare` is left."""

    total: float
    weights: float
    activations: float
    runtime: float
    encoders: float
    kv_cache: float

    @property
    def spare(self) -> float:
        """Neither used nor reserved; negative: that much is missing."""
        return self.total - sum(part for _, part in self.parts())

    @property
    def kv_fraction(self) -> float:
        """`kv_cache` as a share of what is free once the engine is loaded."""
        free = self.total - self.weights - self.activations - self.runtime
        return self.kv_cache / free if free > 0 else 0.0

    def parts(self) -> tuple[tuple[str, float], ...]:
        """What the memory is used for, as (name, GiB)."""
        return (
            ("weights", self.weights),
            ("activations", self.activations),
            ("runtime", self.runtime),
            ("encoders", self.encoders),
            ("KV cache", self.kv_cache),
        )


def budget(
    on: Deployment,
    max_batch_size: int,
    max_num_tokens: int,
    encoders_gib: float,
    kv_fraction: float,
) -> MemoryBudget:
    """Fixed parts first; the KV cache gets at most `kv_fraction` of the rest."""
    total = on.gpu.memory_gib.value
    weights = on.gpu_weight_bytes / GIB
    activations = activation_bytes(on, max_batch_size, max_num_tokens) / GIB
    free = total - weights - activations - RUNTIME_GIB
    kv_cache = max(0.0, min(kv_fraction * free, free - encoders_gib))
    return MemoryBudget(total, weights, activations, RUNTIME_GIB, encoders_gib, kv_cache)


def activation_bytes(on: Deployment, max_batch_size: int, max_num_tokens: int) -> float:
    """Buffers of one iteration: a layer's states for all its tokens, FP32 logits for the batch."""
    model = on.architecture
    width = ACTIVATION_PASSES * model.hidden + MLP_PASSES * model.intermediate / on.tp
    logits = 4 * max_batch_size * model.vocabulary / on.tp
    return 2 * max_num_tokens * width + logits


def encoder_gib(spec: ModelSpec) -> float:
    """GPU memory of an embedder or reranker in FP16."""
    return 2 * spec.sizes.parameters / GIB + ENCODER_OVERHEAD_GIB

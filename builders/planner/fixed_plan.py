"""What a model takes where the planner has nothing to choose: encoders on GPUs, all on `cpu`."""

from dataclasses import dataclass
from typing import Any

from builders.errors import BuildError
from builders.gpu_spec import GIB
from builders.planner.llm_cost import COMPUTE_EFFICIENCY
from builders.planner.memory import encoder_gib
from builders.spec import ModelSpec, Precision, Sku

PASSAGE_TOKENS = 128
"""Length for which the rate is told: what the passage splitter makes, with the question beside."""

_WEIGHT_BYTES: dict[Precision, float] = {"fp32": 4, "bf16": 2, "int8": 1, "int4": 0.5 + 2 / 128}
"""Bytes per weight; optimum-intel's int4 has groups of 128 with an FP16 scale each."""

_KV_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 1, "int8": 1, "int4": 1}
"""OpenVINO stores the KV cache in 8 bits, but beside FP32 weights we ask for FP32
(python_backends/engines/openvino_llm.py)."""


@dataclass(frozen=True)
class FixedPlan:
    """Figures by name, and the line that tells them."""

    values: dict[str, Any]
    text: str


def plan_encoder(spec: ModelSpec, sku: Sku) -> FixedPlan:
    """FP16 on ONNX Runtime, on the GPU that the LLM's first rank uses too.

    `passages_per_s` is a bound, not calibrated: matrices alone, at the BF16 rate. Raises
    `BuildError` when it can't fit.
    """
    if sku.gpu is None:
        raise BuildError(f"SKU '{sku.name}' has no GPU")
    memory, total = encoder_gib(spec), sku.gpu.memory_gib.value
    if memory > total:
        raise BuildError(f"'{spec.name}' needs {memory:.1f} GiB; one {sku.name} has {total}")
    matrices = 2 * spec.sizes.layers * spec.sizes.layer_parameters * PASSAGE_TOKENS
    rate = sku.gpu.dense_tflops.bf16.value * 1e12 * COMPUTE_EFFICIENCY / matrices
    batch = sku.place(spec.role).max_batch_size
    figures = {"memory_gib": memory, "max_batch_size": batch, "passages_per_s": rate}
    return FixedPlan(
        _names(spec, sku, "fp16") | figures | {"passage_tokens": PASSAGE_TOKENS},
        f"{spec.name} on {sku.name}: FP16, ONNX Runtime, {memory:.1f} GiB, max_batch_size {batch}; "
        f"below {rate:,.0f} passages of {PASSAGE_TOKENS} tokens a second (matrices alone; not "
        "calibrated)",
    )


def plan_cpu(spec: ModelSpec, sku: Sku) -> FixedPlan:
    """GiB of memory for the weights, and for an LLM's KV cache of `kv_tokens`."""
    model = spec.sizes
    tokens = int(sku.place("llm").parameters["kv_cache_tokens"]) if spec.role == "llm" else 0
    kv_bytes = 2 * model.layers * model.kv_heads * model.head_dim * _KV_BYTES[spec.precision]
    weights, kv = model.parameters * _WEIGHT_BYTES[spec.precision] / GIB, tokens * kv_bytes / GIB
    cache = f", KV cache {1024 * kv:,.0f} MiB ({tokens:,} tokens)" if tokens else ""
    return FixedPlan(
        _names(spec, sku, spec.precision)
        | {"weights_gib": weights, "kv_gib": kv, "kv_tokens": tokens},
        f"{spec.name} on {sku.name}: {spec.precision.upper()}, weights {1024 * weights:,.0f} MiB"
        f"{cache}; speed is not modelled, 'make bench' measures it",
    )


def _names(spec: ModelSpec, sku: Sku, precision: str) -> dict[str, Any]:
    return {"sku": sku.name, "model": spec.name, "role": spec.role, "precision": precision}

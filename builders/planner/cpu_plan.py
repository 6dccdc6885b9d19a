"""What a model takes on the SKU `cpu`. Its speed is not modelled: `make bench` measures it."""

from dataclasses import dataclass
from typing import Any

from builders.planner.llm_cost import GIB
from builders.spec import ModelSpec, Precision, Sku

_WEIGHT_BYTES: dict[Precision, float] = {"fp32": 4, "bf16": 2, "int8": 1, "int4": 0.5 + 2 / 128}
"""Bytes per weight; optimum-intel's int4 has groups of 128 with an FP16 scale each."""

_KV_BYTES: dict[Precision, int] = {"fp32": 4, "bf16": 1, "int8": 1, "int4": 1}
"""OpenVINO stores the KV cache in 8 bits, but beside FP32 weights we ask for FP32
(python_backends/engines/openvino_llm.py)."""


@dataclass(frozen=True)
class CpuPlan:
    """GiB of memory for the weights, and for an LLM's KV cache of `kv_tokens`."""

    sku: str
    model: str
    role: str
    precision: str
    weights_gib: float
    kv_gib: float
    kv_tokens: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))

    def text(self) -> str:
        """One line."""
        kv = f", KV cache {_mib(self.kv_gib)} ({self.kv_tokens:,} tokens)" if self.kv_tokens else ""
        return (
            f"{self.model} on {self.sku}: {self.precision.upper()}, weights "
            f"{_mib(self.weights_gib)}{kv}; speed is not modelled, 'make bench' measures it"
        )


def _mib(gib: float) -> str:
    return f"{1024 * gib:,.0f} MiB"


def plan_cpu(spec: ModelSpec, sku: Sku) -> CpuPlan:
    """From the spec and the placement; raises `BuildError` when the model's sizes aren't known."""
    model = spec.sizes
    tokens = int(sku.place("llm").parameters["kv_cache_tokens"]) if spec.role == "llm" else 0
    kv_bytes = 2 * model.layers * model.kv_heads * model.head_dim * _KV_BYTES[spec.precision]
    weights = model.parameters * _WEIGHT_BYTES[spec.precision]
    return CpuPlan(
        sku=sku.name,
        model=spec.name,
        role=spec.role,
        precision=spec.precision,
        weights_gib=weights / GIB,
        kv_gib=tokens * kv_bytes / GIB,
        kv_tokens=tokens,
    )

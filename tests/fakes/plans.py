"""Plans of engines for tests: one call says what is special about each."""

from typing import Any

from builders.engine_plan import CONTAINER, TENSORRT_LLM, EnginePlan, RuntimePlan
from builders.gpu import GpuPrecision, KvDtype
from builders.spec import GpuOptions, ModelSpec

RUNTIME = RuntimePlan(kv_memory_fraction=0.85)

RECOMMENDED_KV: dict[GpuPrecision, KvDtype] = {
    "bf16": "bf16",
    "fp8": "fp8",
    "int8-sq": "bf16",
    "w4a16-awq": "bf16",
    "nvfp4": "fp8",
}
"""Facts 4.3."""


def engine_plan(
    precision: GpuPrecision = "fp8", capability: str = "9.0", **fields: Any
) -> EnginePlan:
    """A TensorRT engine for one GPU."""
    values: dict[str, Any] = {
        "flavour": "engine",
        "tensorrt_llm": TENSORRT_LLM,
        "container": CONTAINER,
        "compute_capability": capability,
        "precision": precision,
        "kv_dtype": RECOMMENDED_KV[precision],
        "tp": 1,
        "pp": 1,
        "max_batch_size": 64,
        "max_num_tokens": 8192,
        "max_seq_len": 4096,
    }
    return EnginePlan(**values | fields)


def llm_spec(**gpu: Any) -> ModelSpec:
    """An LLM whose checkpoint lies anywhere."""
    return ModelSpec(name="my-llm", role="llm", source="x", max_tokens=4096, gpu=GpuOptions(**gpu))

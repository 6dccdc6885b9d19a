"""GPU memory that a finished engine takes, by its plan and its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from builders.gpu import GpuPrecision
from builders.planner.llm_cost import GIB, KV_BYTES, Deployment
from builders.planner.memory import ENCODER_OVERHEAD_GIB, RUNTIME_GIB, activation_bytes
from builders.spec import Architecture, ModelSpec, Sku, load_model, model_names
from ensembles.manifest import Manifest

_WEIGHTS = {
    "onnx": ("*.onnx", "*.onnx_data", "*.onnx.data"),
    "tensorrt-llm": ("**/*.safetensors",),
    "tensorrtllm-backend": ("*.engine",),
}
"""Files that are loaded into the GPUs' memory, by what runs the engine."""


def need(folder: Path, manifest: Manifest, sku: Sku) -> dict[str, float]:
    """GiB of one GPU, by what for. The KV cache is that of one request of the longest kind.

    TensorRT-LLM takes more where there is more, but less than this can't serve what was planned.
    """
    split = int(manifest.plan.get("tp", 1)) * int(manifest.plan.get("pp", 1))
    patterns = _WEIGHTS.get(manifest.engine, ())
    weights = sum(file.stat().st_size for pattern in patterns for file in folder.glob(pattern))
    parts = {"weights": weights / split / GIB}
    if manifest.role != "llm":
        return parts | {"runtime": ENCODER_OVERHEAD_GIB}
    parts["runtime"] = RUNTIME_GIB
    return parts | _of_requests(manifest, sku)


def _of_requests(manifest: Manifest, sku: Sku) -> dict[str, float]:
    """What the plan adds, where the model's sizes are known."""
    architecture, plan = _architecture(manifest.model), manifest.plan
    if architecture is None or sku.gpu is None or not _is_complete(plan):
        return {}
    on = Deployment(
        architecture, sku.gpu, plan["precision"], plan["kv_dtype"], plan["tp"], plan["pp"]
    )
    buffers = activation_bytes(on, plan["max_batch_size"], plan["max_num_tokens"])
    cache = plan["max_seq_len"] * on.gpu_kv_bytes_per_token
    return {"buffers": buffers / GIB, "KV cache": cache / GIB}


def _architecture(model: str) -> Architecture | None:
    spec: ModelSpec | None = load_model(model) if model in model_names() else None
    return spec.architecture if spec else None


def _is_complete(plan: Mapping[str, Any]) -> bool:
    numbers = ("tp", "pp", "max_batch_size", "max_num_tokens", "max_seq_len")
    return (
        all(isinstance(plan.get(name), int) for name in numbers)
        and plan.get("precision") in get_args(GpuPrecision)
        and plan.get("kv_dtype") in KV_BYTES
    )

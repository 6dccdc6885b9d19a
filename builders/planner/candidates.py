"""Which ways there are to put one LLM on GPUs: precision, tensor and pipeline parallelism."""

from collections.abc import Iterator

from builders.engine_plan import Flavour
from builders.errors import BuildError
from builders.gpu_spec import PRECISION_NAMES, Gpu, GpuPrecision
from builders.spec import Architecture
from builders.tensorrt_llm.llm_api import API_PRECISIONS

_BY_QUALITY: tuple[GpuPrecision, ...] = ("bf16", "int8-sq", "w4a16-awq")
_BY_SPEED: tuple[GpuPrecision, ...] = ("nvfp4", "fp8", "w4a16-awq", "int8-sq", "bf16")


def preferred(gpu: Gpu, flavour: Flavour) -> list[GpuPrecision]:
    """What the GPU and the flavour can do, best first.

    With FP8 in hardware: the fastest that keeps quality. Without: BF16 as long as it fits.
    """
    order = _BY_SPEED if gpu.dense_tflops.fp8 else _BY_QUALITY
    able = [name for name in order if name in gpu.precisions.value]
    return [name for name in able if flavour == "engine" or name in API_PRECISIONS]


def check_precision(precision: GpuPrecision, sku: str, gpu: Gpu, flavour: Flavour) -> None:
    """Raises `BuildError` where the GPU, or the flavour on it, lacks the precision."""
    possible = preferred(gpu, flavour)
    if precision in possible:
        return
    names = ", ".join(PRECISION_NAMES[name] for name in possible)
    what = f"{PRECISION_NAMES[precision]} on {sku} (SM {gpu.compute_capability.value})"
    if precision in gpu.precisions.value:
        raise BuildError(f"{what}: the {flavour} flavour can't run it; possible: {names}")
    raise BuildError(f"{what}: TensorRT-LLM does not support it there; possible: {names}")


def check_parallel(model: str, architecture: Architecture, tp: int, pp: int) -> None:
    """Raises `BuildError` where a split leaves a GPU with part of a head or no layer."""
    if tp not in possible_tp(architecture):
        possible = ", ".join(map(str, possible_tp(architecture)))
        raise BuildError(
            f"tp {tp}: does not divide the {architecture.heads} attention heads, "
            f"{architecture.kv_heads} KV heads and MLP width {architecture.intermediate} of "
            f"'{model}'; possible: {possible}"
        )
    if not 1 <= pp <= architecture.layers:
        raise BuildError(f"pp {pp}: '{model}' has {architecture.layers} layers")


def possible_tp(architecture: Architecture, most: int = 64) -> list[int]:
    """Heads and MLP are split evenly; KV heads are too, or each is held by several GPUs."""
    return [
        tp
        for tp in range(1, most + 1)
        if architecture.heads % tp == 0
        and architecture.intermediate % tp == 0
        and (architecture.kv_heads % tp == 0 or tp % architecture.kv_heads == 0)
    ]


def layouts(architecture: Architecture, gpus: int) -> Iterator[tuple[int, int]]:
    """Every (tp, pp) that uses exactly so many GPUs."""
    for tp in possible_tp(architecture, gpus):
        if gpus % tp == 0 and gpus // tp <= architecture.layers:
            yield tp, gpus // tp

"""From a TensorRT engine to the LLM API: what changes for one plan, said line by line.

Source of the pairs: facts/tensorrt-llm.md 5 (map of keys), 1.1, 2.5 and 2.6; NVIDIA/TensorRT-LLM,
docs/source/legacy/tensorrt-backend-removal.md as quoted there.
"""

from builders.engine_plan import EnginePlan
from builders.errors import BuildError
from builders.tensorrt_llm.llm_api import QUANTIZED

KEY_MAP = {
    "kv_cache_free_gpu_mem_fraction": "kv_cache_config.free_gpu_memory_fraction",
    "enable_kv_cache_reuse": "kv_cache_config.enable_block_reuse",
    "kv_cache_host_memory_bytes": "kv_cache_config.host_cache_size",
    "max_tokens_in_paged_kv_cache": "kv_cache_config.max_tokens",
    "max_attention_window_size": "kv_cache_config.max_attention_window",
    "enable_chunked_context": "enable_chunked_prefill",
    "batch_scheduler_policy": "scheduler_config.capacity_scheduler_policy",
    "lora_cache_gpu_memory_fraction": "peft_cache_config.device_cache_percent",
    "guided_decoding_backend": "guided_decoding_backend",
    "decoding_mode": "speculative_config",
}
"""Parameter of the C++ backend's config.pbtxt → argument of the LLM API."""

BUILD_MAP = {
    "--tp_size": "tensor_parallel_size",
    "--pp_size": "pipeline_parallel_size",
    "--max_batch_size": "max_batch_size",
    "--max_num_tokens": "max_num_tokens",
    "--max_seq_len": "max_seq_len",
    "--kv_cache_dtype": "kv_cache_config.dtype",
    "--max_lora_rank": "lora_config.max_lora_rank",
    "--lora_target_modules": "lora_config.lora_target_modules",
}
"""Flag of the converters or of `trtllm-build`, fixed in an engine → argument, read at the start."""

_SIZES = ("precision", "kv_dtype", "tp", "pp", "max_batch_size", "max_num_tokens", "max_seq_len")


def migration(engine: EnginePlan, api: EnginePlan) -> tuple[str, ...]:
    """What changes from the plan of an engine to the same plan for the LLM API."""
    if (engine.flavour, api.flavour) != ("engine", "llm-api"):
        raise BuildError(
            f"migration from {engine.flavour} to {api.flavour}: possible: from engine to llm-api"
        )
    return (
        *_release(engine, api),
        *_differences(engine, api),
        *_build(api),
        *_run(),
        *_lost(engine),
    )


def _release(engine: EnginePlan, api: EnginePlan) -> list[str]:
    return [
        f"TensorRT-LLM {engine.tensorrt_llm} with engines → {api.tensorrt_llm} with the LLM API on "
        "PyTorch (1.3 removed engines)",
        f"container {engine.container} → {api.container}",
    ]


def _differences(engine: EnginePlan, api: EnginePlan) -> list[str]:
    pairs = ((name, getattr(engine, name), getattr(api, name)) for name in _SIZES)
    return [f"{name} {old} → {new}" for name, old, new in pairs if old != new]


def _build(api: EnginePlan) -> list[str]:
    algorithm = QUANTIZED.get(api.precision)
    checkpoint = (
        f"a checkpoint quantized to {algorithm}, such as nvidia's on Hugging Face"
        if algorithm
        else "the checkpoint as it is"
    )
    return [
        "no convert_checkpoint.py, quantize.py or trtllm-build any more; nothing is built",
        f"precision is the checkpoint's: {checkpoint}",
        *(f"{flag} → model.yaml: {key}" for flag, key in BUILD_MAP.items()),
    ]


def _run() -> list[str]:
    return [
        *(f"config.pbtxt: {key} → model.yaml: {name}" for key, name in KEY_MAP.items()),
        "model tensorrt_llm on backend tensorrtllm → none: the model llm runs the library itself",
        "tokens of a stream: each response brings new ones → each output has all so far (the model "
        "llm hands over new ones either way; NVIDIA's own llmapi model streams the text so far)",
        "metrics nv_trt_llm_* of the C++ backend → none",
    ]


def _lost(engine: EnginePlan) -> list[str]:
    lost = []
    if engine.lookahead:
        lost.append(
            "lookahead decoding → not offered; of the same kind: NGram (speculative_config)"
        )
    if engine.precision == "int8-sq":
        lost.append("INT8 SmoothQuant → not offered")
    if engine.kv_dtype == "int8":
        lost.append("INT8 KV cache → not offered; possible: fp8")
    return lost

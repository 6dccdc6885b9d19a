"""model.yaml: the arguments of TensorRT-LLM's LLM API for one plan.

The text is JSON, which is YAML, so that python_backends reads it with the standard library. Nothing
here has run on a GPU. The library's arguments are listed in tests/fakes/llm_api_arguments.toml.
"""

import json
from typing import Any

from builders.checkpoint import Checkpoint
from builders.engine_plan import EnginePlan, RuntimePlan
from builders.errors import BuildError
from builders.gpu_spec import GpuPrecision

_CUDA_GRAPH_BATCH = 128
"""The library's default bound: each graph may take 200 MB, which the memory plan leaves out."""

QUANTIZED: dict[GpuPrecision, str] = {"fp8": "FP8", "nvfp4": "NVFP4", "w4a16-awq": "W4A16_AWQ"}
"""quant_algo of the checkpoints that the PyTorch backend takes (TensorRT-LLM docs,
features/quantization); no SmoothQuant. The precision is the checkpoint's, not an argument."""

API_PRECISIONS: tuple[GpuPrecision, ...] = ("bf16", *QUANTIZED)


def model_yaml(plan: EnginePlan, runtime: RuntimePlan, model: str = ".") -> str:
    """Text of model.yaml; `model` is the checkpoint's folder, relative to the file's."""
    arguments: dict[str, Any] = {
        "model": model,
        "backend": "pytorch",
        "tensor_parallel_size": plan.tp,
        "pipeline_parallel_size": plan.pp,
        "max_batch_size": plan.max_batch_size,
        "max_num_tokens": plan.max_num_tokens,
        "max_seq_len": plan.max_seq_len,
        "max_beam_width": 1,
        "kv_cache_config": {
            "dtype": "fp8" if plan.kv_dtype == "fp8" else "auto",
            "enable_block_reuse": True,
            "free_gpu_memory_fraction": runtime.kv_memory_fraction,
        },
        "scheduler_config": {"capacity_scheduler_policy": "GUARANTEED_NO_EVICT"},
        "cuda_graph_config": {
            "max_batch_size": min(plan.max_batch_size, _CUDA_GRAPH_BATCH),
            "enable_padding": True,
        },
        "enable_chunked_prefill": True,
        # In 1.2 only this sampler supports penalties and seeds of requests.
        "sampler_type": "TRTLLMSampler",
        # The grammar is compiled with the tokenizer; without one, TensorRT-LLM gets and gives ids.
        "skip_tokenizer_init": not runtime.guided_decoding,
    }
    if runtime.guided_decoding:
        arguments["guided_decoding_backend"] = "xgrammar"
    return json.dumps(arguments, indent=2, sort_keys=True) + "\n"


def check_checkpoint(plan: EnginePlan, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for another precision than planned, which would need other memory."""
    notes = checkpoint.quantization()
    found = notes.get("quant_algo") or notes.get("quant_method")
    needed = QUANTIZED.get(plan.precision)
    if found != needed:
        raise BuildError(
            f"{plan.precision} with flavour llm-api: needs a checkpoint quantized to "
            f"{needed or 'nothing'}, and {checkpoint.path} is quantized to {found or 'nothing'}; "
            "possible: another source in the model's file, or the precision of this one"
        )

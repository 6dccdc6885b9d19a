"""The arguments of TensorRT-LLM's LLM API, by release: an unknown one fails the load.

Source: facts/tensorrt-llm.md 5. Compared with NVIDIA/TensorRT-LLM: tensorrt_llm/lora_helper.py
585c7565, and tensorrt_llm/llmapi/llm_args.py in a stored version without a known commit, between
1.2 and 1.3.0rc20 (it has `TrtLlmArgs`, and `waiting_queue_policy`, which 1.2 lacks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KeySet:
    """The arguments of one release, and of those that are tables."""

    source: str
    top: frozenset[str]
    nested: Mapping[str, frozenset[str]]

    def unknown(self, arguments: Mapping[str, Any]) -> list[str]:
        """Names that the release would refuse, nested ones with a dot."""
        found = [name for name in arguments if name not in self.top]
        for outer, known in self.nested.items():
            found += [f"{outer}.{name}" for name in arguments.get(outer, {}) if name not in known]
        return sorted(found)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BASE_1_2 = _names(
    """
    model tokenizer tokenizer_mode skip_tokenizer_init trust_remote_code revision
    tokenizer_revision model_kwargs dtype load_format backend
    tensor_parallel_size pipeline_parallel_size context_parallel_size gpus_per_node
    moe_tensor_parallel_size moe_expert_parallel_size enable_attention_dp orchestrator_type
    enable_lora lora_config peft_cache_config kv_cache_config scheduler_config speculative_config
    enable_chunked_prefill guided_decoding_backend reasoning_parser num_postprocess_workers
    max_batch_size max_input_len max_seq_len max_beam_width max_num_tokens
    return_perf_metrics env_overrides
    """
)

_TORCH_1_2 = _names(
    """
    cuda_graph_config disable_overlap_scheduler moe_config nvfp4_gemm_config attn_backend
    sampler_type enable_iter_perf_stats enable_iter_req_stats print_iter_log batch_wait_timeout_ms
    torch_compile_config enable_autotuner stream_interval allreduce_strategy checkpoint_format
    max_stats_len kv_connector_config
    """
)

KEYS = {
    "1.2.1": KeySet(
        source="facts/tensorrt-llm.md 5, without what it marks as main's",
        top=_BASE_1_2 | _TORCH_1_2,
        nested={
            "kv_cache_config": _names(
                """
                enable_block_reuse max_tokens max_attention_window free_gpu_memory_fraction
                host_cache_size enable_partial_reuse copy_on_partial_reuse event_buffer_max_size
                dtype tokens_per_block use_uvm max_gpu_total_bytes
                """
            ),
            "scheduler_config": _names(
                "capacity_scheduler_policy context_chunking_policy dynamic_batch_config"
            ),
            "cuda_graph_config": _names("batch_sizes max_batch_size enable_padding"),
            "lora_config": _names(
                """
                lora_dir lora_ckpt_source max_lora_rank lora_target_modules
                trtllm_modules_to_hf_modules max_loras max_cpu_loras
                swap_gate_up_proj_lora_b_weight
                """
            ),
        },
    ),
}

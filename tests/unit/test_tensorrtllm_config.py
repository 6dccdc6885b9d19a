"""config.pbtxt of NVIDIA's C++ backend, read back through Triton's own schema."""

from pathlib import Path
from typing import get_args

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.engine_plan import RuntimePlan
from builders.gpu_spec import GpuPrecision
from builders.tensorrt_llm.backend_config import engine_config_text
from python_backends.engines.tensorrt_llm_tensors import TENSORRT_LLM
from tests.fakes.plans import RUNTIME, engine_plan

ENGINE = Path("/models/engines/my-llm")
PRECISIONS = get_args(GpuPrecision)

TEMPLATE_KEYS = {
    *("max_beam_width", "FORCE_CPU_ONLY_INPUT_TENSORS", "gpt_model_type", "gpt_model_path"),
    *("encoder_model_path", "max_tokens_in_paged_kv_cache", "max_attention_window_size"),
    *("sink_token_length", "batch_scheduler_policy", "kv_cache_free_gpu_mem_fraction"),
    *("cross_kv_cache_fraction", "kv_cache_host_memory_bytes", "kv_cache_onboard_blocks"),
    *("exclude_input_in_output", "cancellation_check_period_ms", "stats_check_period_ms"),
    *("iter_stats_max_iterations", "request_stats_max_iterations", "enable_kv_cache_reuse"),
    *("normalize_log_probs", "enable_chunked_context", "gpu_device_ids", "participant_ids"),
    *("num_nodes", "lora_cache_optimal_adapter_size", "lora_cache_max_adapter_size"),
    *("lora_cache_gpu_memory_fraction", "lora_cache_host_memory_bytes", "lora_prefetch_dir"),
    *("decoding_mode", "executor_worker_path", "lookahead_window_size", "lookahead_ngram_size"),
    *("lookahead_verification_set_size", "medusa_choices", "eagle_choices"),
    *("gpu_weights_percent", "enable_context_fmha_fp32_acc", "multi_block_mode"),
    *("cuda_graph_mode", "cuda_graph_cache_size", "speculative_decoding_fast_logits"),
    *("tokenizer_dir", "guided_decoding_backend", "xgrammar_tokenizer_info_path"),
}
"""The parameters of NVIDIA's template."""

LEFT_OUT = {
    "encoder_model_path": "decoders only",
    "cross_kv_cache_fraction": "decoders only",
    "max_tokens_in_paged_kv_cache": "the memory fraction decides",
    "max_attention_window_size": "attention reaches over the whole sequence",
    "sink_token_length": "attention reaches over the whole sequence",
    "kv_cache_onboard_blocks": "internal",
    "kv_cache_host_memory_bytes": "the default is meant: none",
    "iter_stats_max_iterations": "the default is meant",
    "request_stats_max_iterations": "the default is meant",
    "participant_ids": "only without spawned processes",
    "lora_cache_optimal_adapter_size": "no LoRA",
    "lora_cache_max_adapter_size": "no LoRA",
    "lora_cache_gpu_memory_fraction": "no LoRA",
    "lora_cache_host_memory_bytes": "no LoRA",
    "lora_prefetch_dir": "no LoRA; any text would be taken as a path",
    "lookahead_window_size": "no lookahead",
    "lookahead_ngram_size": "no lookahead",
    "lookahead_verification_set_size": "no lookahead",
    "executor_worker_path": "leader mode starts no workers",
    "medusa_choices": "no Medusa",
    "eagle_choices": "no Eagle",
    "gpu_weights_percent": "all weights lie on the GPU",
    "enable_context_fmha_fp32_acc": "the default is meant",
    "multi_block_mode": "the default is meant",
    "cuda_graph_mode": "the default is meant",
    "cuda_graph_cache_size": "the default is meant",
    "speculative_decoding_fast_logits": "no draft model",
}
"""Keys of the template that are not written, and why: the backend then takes its default."""


def parsed(plan, runtime=RUNTIME) -> schema.ModelConfig:
    return text_format.Parse(engine_config_text(plan, runtime, ENGINE), schema.ModelConfig())


def values(plan, runtime=RUNTIME) -> dict[str, str]:
    return {key: value.string_value for key, value in parsed(plan, runtime).parameters.items()}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_parses_back_without_placeholders(precision):
    plan = engine_plan(precision, tp=2, max_batch_size=48)
    assert "${" not in engine_config_text(plan, RUNTIME, ENGINE)
    config = parsed(plan)
    assert (config.name, config.backend) == ("tensorrt_llm", "tensorrtllm")
    assert config.max_batch_size == 48
    assert config.model_transaction_policy.decoupled
    assert list(config.dynamic_batching.preferred_batch_size) == [48]
    assert config.dynamic_batching.max_queue_delay_microseconds == 0
    assert config.dynamic_batching.default_queue_policy.max_queue_size == 256
    assert [group.kind for group in config.instance_group] == [schema.ModelInstanceGroup.KIND_CPU]


def test_all_tensors_are_declared_once():
    config = parsed(engine_plan())
    for tensors, count in ((config.input, 62), (config.output, 21)):
        assert len({tensor.name for tensor in tensors}) == len(tensors) == count


def test_flags_become_what_triton_reads():
    inputs = {tensor.name: tensor for tensor in parsed(engine_plan()).input}
    required = {name for name, tensor in inputs.items() if not tensor.optional}
    assert required == {"input_lengths", "request_output_len"}
    for name, shape in (("input_lengths", True), ("input_ids", False), ("lora_config", False)):
        assert inputs[name].HasField("reshape") == shape
        assert list(inputs[name].reshape.shape) == []
    assert inputs["input_ids"].allow_ragged_batch
    assert not inputs["mrope_rotary_cos_sin"].allow_ragged_batch
    assert list(inputs["stop_words_list"].dims) == [2, -1]
    assert list(inputs["lora_config"].dims) == [-1, 3]


def test_our_engine_finds_what_it_sends_and_reads():
    """What python_backends uses of this model, with the same dtypes and shapes."""
    config = parsed(engine_plan())
    for specs, tensors in (
        (TENSORRT_LLM.inputs, config.input),
        (TENSORRT_LLM.outputs, config.output),
    ):
        declared = {tensor.name: tensor for tensor in tensors}
        for spec in specs:
            found = declared[spec.name]
            assert found.data_type == schema.DataType.Value(spec.dtype.config_name)
            assert list(found.dims) == list(spec.shape)


def test_logits_are_the_engines():
    config = parsed(engine_plan())
    tensors = {tensor.name: tensor for tensor in (*config.input, *config.output)}
    for name in ("draft_logits", "context_logits", "generation_logits"):
        assert schema.DataType.Name(tensors[name].data_type) == "TYPE_FP32"
    assert schema.DataType.Name(tensors["lora_weights"].data_type) == "TYPE_BF16"


def test_each_key_of_the_template_is_written_or_left_out_for_a_reason():
    written = values(engine_plan()).keys()
    assert written & LEFT_OUT.keys() == set()
    assert written | LEFT_OUT.keys() == TEMPLATE_KEYS


def test_parameters_follow_the_plan():
    found = values(engine_plan(tp=2, pp=2), RuntimePlan(0.83))
    expected = {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": "/models/engines/my-llm",
        "batch_scheduler_policy": "guaranteed_no_evict",
        "kv_cache_free_gpu_mem_fraction": "0.83",
        "enable_kv_cache_reuse": "true",
        "enable_chunked_context": "true",
        "decoding_mode": "top_k_top_p",
        "gpu_device_ids": "0,1,2,3",
        "max_beam_width": "1",
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    }
    assert expected.items() <= found.items()


@pytest.mark.parametrize("guided", [False, True])
def test_keys_of_guided_decoding_always_exist(guided):
    found = values(engine_plan(), RuntimePlan(0.9, guided_decoding=guided))
    assert found["tokenizer_dir"] == ""
    assert found["guided_decoding_backend"] == ("xgrammar" if guided else "")
    info = "/models/engines/my-llm/xgrammar_tokenizer_info.json"
    assert found["xgrammar_tokenizer_info_path"] == (info if guided else "")

"""The tensors of the C++ backend's model `tensorrt_llm`, as NVIDIA's template has them.

Source: facts/tensorrt-llm.md 2.1; NVIDIA/TensorRT-LLM 2a9abd95,
triton_backend/all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt, compared row by row.
Of its four placeholders for types, two depend on the engine (`LOGITS`) or on the kind of model; the
latter are FP16 but for two multimodal models (tensorrtllm_backend 0b9d7d5, docs/model_config.md).
"""

from dataclasses import dataclass

LOGITS = "LOGITS"
"""FP32 or FP16: the engine's `logits_dtype`, which the backend asserts."""

MODEL = "MODEL"
"""The dtype of the model. The template has FP16 for `lora_weights`, which fits FP16 engines: "float
(model data type)" (docs/model_config.md), "Expected lora weights to be the same data type as base
model" (TensorRT-LLM #2434)."""


@dataclass(frozen=True)
class Row:
    """One tensor. `flags`: R reshape to a scalar, O optional, G ragged batch."""

    name: str
    dtype: str
    dims: tuple[int, ...]
    flags: str = ""


INPUTS = (
    Row("input_ids", "INT32", (-1,), "OG"),
    Row("encoder_input_features", "FP16", (-1, -1), "OG"),
    Row("encoder_output_lengths", "INT32", (1,), "RO"),
    Row("input_lengths", "INT32", (1,), "R"),
    Row("request_output_len", "INT32", (1,), "R"),
    Row("num_return_sequences", "INT32", (1,), "RO"),
    Row("draft_input_ids", "INT32", (-1,), "OG"),
    Row("decoder_input_ids", "INT32", (-1,), "OG"),
    Row("decoder_input_lengths", "INT32", (1,), "RO"),
    Row("draft_logits", LOGITS, (-1, -1), "OG"),
    Row("draft_acceptance_threshold", "FP32", (1,), "RO"),
    Row("end_id", "INT32", (1,), "RO"),
    Row("pad_id", "INT32", (1,), "RO"),
    Row("stop_words_list", "INT32", (2, -1), "OG"),
    Row("bad_words_list", "INT32", (2, -1), "OG"),
    Row("embedding_bias", "FP32", (-1,), "OG"),
    Row("beam_width", "INT32", (1,), "RO"),
    Row("temperature", "FP32", (1,), "RO"),
    Row("runtime_top_k", "INT32", (1,), "RO"),
    Row("runtime_top_p", "FP32", (1,), "RO"),
    Row("runtime_top_p_min", "FP32", (1,), "RO"),
    Row("runtime_top_p_decay", "FP32", (1,), "RO"),
    Row("runtime_top_p_reset_ids", "INT32", (1,), "RO"),
    Row("len_penalty", "FP32", (1,), "RO"),
    Row("early_stopping", "BOOL", (1,), "RO"),
    Row("repetition_penalty", "FP32", (1,), "RO"),
    Row("min_tokens", "INT32", (1,), "RO"),
    Row("beam_search_diversity_rate", "FP32", (1,), "RO"),
    Row("presence_penalty", "FP32", (1,), "RO"),
    Row("frequency_penalty", "FP32", (1,), "RO"),
    Row("seed", "UINT64", (1,), "RO"),
    Row("return_log_probs", "BOOL", (1,), "RO"),
    Row("return_context_logits", "BOOL", (1,), "RO"),
    Row("return_generation_logits", "BOOL", (1,), "RO"),
    Row("return_perf_metrics", "BOOL", (1,), "RO"),
    Row("return_num_input_tokens", "BOOL", (1,), "RO"),
    Row("return_num_output_tokens", "BOOL", (1,), "RO"),
    Row("exclude_input_in_output", "BOOL", (1,), "RO"),
    Row("stop", "BOOL", (1,), "RO"),
    Row("streaming", "BOOL", (1,), "RO"),
    Row("prompt_embedding_table", "FP16", (-1, -1), "OG"),
    Row("prompt_table_extra_ids", "UINT64", (-1,), "OG"),
    Row("prompt_vocab_size", "INT32", (1,), "RO"),
    Row("cross_attention_mask", "BOOL", (-1, -1), "OG"),
    Row("mrope_rotary_cos_sin", "FP32", (-1,), "O"),
    Row("mrope_position_deltas", "INT64", (1,), "O"),
    Row("lora_task_id", "UINT64", (1,), "RO"),
    Row("lora_weights", MODEL, (-1, -1), "OG"),
    Row("lora_config", "INT32", (-1, 3), "OG"),
    Row("context_phase_params", "UINT8", (-1,), "OG"),
    Row("skip_cross_attn_blocks", "BOOL", (1,), "OG"),
    Row("retention_token_range_starts", "INT32", (-1,), "OG"),
    Row("retention_token_range_ends", "INT32", (-1,), "OG"),
    Row("retention_token_range_priorities", "INT32", (-1,), "OG"),
    Row("retention_token_range_durations_ms", "INT32", (-1,), "OG"),
    Row("retention_decode_priority", "INT32", (1,), "OG"),
    Row("retention_decode_duration_ms", "INT32", (1,), "OG"),
    Row("guided_decoding_guide_type", "STRING", (1,), "OG"),
    Row("guided_decoding_guide", "STRING", (1,), "OG"),
    Row("lookahead_window_size", "INT32", (1,), "OG"),
    Row("lookahead_ngram_size", "INT32", (1,), "OG"),
    Row("lookahead_verification_set_size", "INT32", (1,), "OG"),
)

OUTPUTS = (
    Row("output_ids", "INT32", (-1, -1)),
    Row("sequence_length", "INT32", (-1,)),
    Row("cum_log_probs", "FP32", (-1,)),
    Row("output_log_probs", "FP32", (-1, -1)),
    Row("context_logits", LOGITS, (-1, -1)),
    Row("generation_logits", LOGITS, (-1, -1, -1)),
    Row("batch_index", "INT32", (1,)),
    Row("sequence_index", "INT32", (1,)),
    Row("context_phase_params", "UINT8", (-1,)),
    Row("kv_cache_alloc_new_blocks", "INT32", (1,)),
    Row("kv_cache_reused_blocks", "INT32", (1,)),
    Row("kv_cache_alloc_total_blocks", "INT32", (1,)),
    Row("arrival_time_ns", "INT64", (1,)),
    Row("first_scheduled_time_ns", "INT64", (1,)),
    Row("first_token_time_ns", "INT64", (1,)),
    Row("last_token_time_ns", "INT64", (1,)),
    Row("acceptance_rate", "FP32", (1,)),
    Row("total_accepted_draft_tokens", "INT32", (1,)),
    Row("total_draft_tokens", "INT32", (1,)),
    Row("num_input_tokens", "INT32", (1,)),
    Row("num_output_tokens", "INT32", (1,)),
)

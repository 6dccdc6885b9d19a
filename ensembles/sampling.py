"""How `llm` generates: the inputs that a request may send, ours and the others of NVIDIA's."""

from ensembles.tensors import DType, optional

SAMPLING = (
    optional("max_tokens", DType.INT32, 1),  # most tokens of the answer
    optional("min_tokens", DType.INT32, 1),  # tokens before the answer may end
    optional("temperature", DType.FP32, 1),  # 0 to 100; 0 takes the likeliest token
    optional("top_k", DType.INT32, 1),  # sample from the k likeliest tokens; 0: from all
    optional("top_p", DType.FP32, 1),  # sample from this share of probability; 0 and 1: from all
    optional("repetition_penalty", DType.FP32, 1),  # 0.01 to 100; 1: none
    optional("presence_penalty", DType.FP32, 1),  # -2 to 2; 0: none
    optional("frequency_penalty", DType.FP32, 1),  # -2 to 2; 0: none
    optional("seed", DType.UINT64, 1),  # default: a random one
    optional("random_seed", DType.UINT64, 1),  # older name of `seed`
    optional("stop_words", DType.STRING, "stop_words"),  # the answer ends before the first of them
    optional("stream", DType.BOOL, 1),  # many responses or one; default: one
)
"""How to generate. Defaults are the model's (`sampling` in its manifest) where none is given."""

NVIDIA_SAMPLING = (
    optional("end_id", DType.INT32, 1),
    optional("pad_id", DType.INT32, 1),
    optional("beam_width", DType.INT32, 1),
    optional("num_return_sequences", DType.INT32, 1),
    optional("length_penalty", DType.FP32, 1),
    optional("bad_words", DType.STRING, "bad_words"),
    optional("exclude_input_in_output", DType.BOOL, 1),  # false: the prompt, then the answer
    optional("return_log_probs", DType.BOOL, 1),
    optional("return_context_logits", DType.BOOL, 1),
    optional("return_generation_logits", DType.BOOL, 1),
    optional("return_perf_metrics", DType.BOOL, 1),
    optional("return_num_input_tokens", DType.BOOL, 1),
    optional("return_num_output_tokens", DType.BOOL, 1),
    optional("prompt_embedding_table", DType.FP16, "prompt_tokens", "width"),
    optional("prompt_table_extra_id", DType.UINT64, 1),
    optional("prompt_vocab_size", DType.INT32, 1),
    optional("embedding_bias_words", DType.STRING, "bias_words"),
    optional("embedding_bias_weights", DType.FP32, "bias_words"),
    optional("lora_task_id", DType.UINT64, 1),
    optional("lora_weights", DType.FP16, "lora_rows", "lora_columns"),
    optional("lora_config", DType.INT32, "lora_rows", 3),
    optional("decoder_text_input", DType.STRING, 1),
)
"""The other inputs of NVIDIA's `ensemble`, for clients that always send them. What they ask for and
is unsupported is refused by name (generation/sampling.py). `pad_id` and the two `return_num_…`
change nothing: nothing is padded, and the numbers are always returned."""

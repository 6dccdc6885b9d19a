"""`trtllm-build`: tensorrt_llm/commands/build.py 65f1d153, plugin/plugin.py c20322ff; what it
overrides and refuses: builder.py 2a9abd95 and `PluginConfig.validate` of plugin.py."""

import argparse
import functools
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.trtllm import SM, record, write_ranks

_FP8_WORKFLOWS = ("FP8", "W4A8_AWQ", "NVFP4")
_NOT_ON_SM100 = (
    "gemm_swiglu_plugin",
    "fp8_rowwise_gemm_plugin",
    "low_latency_gemm_plugin",
    "low_latency_gemm_swiglu_plugin",
)
_DTYPES = ["auto", "float16", "float32", "bfloat16", "int32", "disable"]
_PLUGINS = {
    "bert_attention_plugin": ("auto", _DTYPES),
    "gpt_attention_plugin": ("auto", _DTYPES),
    "gemm_plugin": (None, [*_DTYPES[:-1], "fp8", "nvfp4", "disable"]),
    "gemm_swiglu_plugin": ("disable", ["fp8", "disable"]),
    "fp8_rowwise_gemm_plugin": ("disable", _DTYPES),
    "lora_plugin": ("disable", _DTYPES),
    "moe_plugin": ("auto", _DTYPES),
    "mamba_conv1d_plugin": ("auto", _DTYPES),
    "nccl_plugin": ("auto", _DTYPES),
    "low_latency_gemm_plugin": ("disable", ["fp8", "disable"]),
    "low_latency_gemm_swiglu_plugin": ("disable", ["fp8", "disable"]),
    "gemm_allreduce_plugin": ("disable", ["float16", "bfloat16", "disable"]),
}
_SWITCHES = {
    "dora_plugin": False,
    "context_fmha": True,
    "bert_context_fmha_fp32_acc": False,
    "remove_input_padding": True,
    "use_paged_context_fmha": True,
    "use_fp8_context_fmha": True,
    "fuse_fp4_quant": False,
    "multiple_profiles": False,
    "paged_state": True,
    "streamingllm": False,
    "norm_quant_fusion": False,
    "reduce_fusion": False,
    "user_buffer": False,
    "use_fused_mlp": True,
    "pp_reduce_scatter": False,
}
_NUMBERS = {
    "max_batch_size": 2048,
    "max_input_len": 1024,
    "max_beam_width": 1,
    "max_num_tokens": 8192,
    "opt_num_tokens": None,
    "max_encoder_input_len": 1024,
    "workers": 1,
    "max_lora_rank": 64,
    "max_draft_len": 0,
    "tokens_per_block": 32,
}
_TEXTS = {
    "checkpoint_dir": None,
    "model_config": None,
    "build_config": None,
    "model_cls_file": None,
    "model_cls_name": None,
    "output_dir": "engine_outputs",
    "paged_kv_cache": None,
    "input_timing_cache": None,
    "output_timing_cache": "model.cache",
    "visualize_network": None,
}
_FLAGS = (
    *("strip_plan", "weight_sparsity", "weight_streaming", "fast_build", "enable_debug_output"),
    *("dry_run", "monitor_memory", "gather_context_logits", "gather_generation_logits"),
    "gather_all_token_logits",
)
_CHOICES = {
    "kv_cache_type": ("paged", ["continuous", "paged", "disabled"]),
    "profiling_verbosity": ("layer_names_only", ["layer_names_only", "detailed", "none"]),
    "log_level": ("info", ["internal_error", "error", "warning", "info", "verbose", "debug"]),
    "logits_dtype": (None, ["float16", "float32"]),
    "lora_ckpt_source": ("hf", ["hf", "nemo"]),
    "speculative_decoding_mode": (
        None,
        ["draft_tokens_external", "lookahead_decoding", "medusa", "explicit_draft_tokens", "eagle"],
    ),
}
_LORA_MODULES = (
    *("attn_qkv", "attn_q", "attn_k", "attn_v", "attn_dense"),
    *("mlp_h_to_4h", "mlp_4h_to_h", "mlp_gate"),
)


@functools.cache
def parser() -> argparse.ArgumentParser:
    # The real one also takes abbreviations; that our commands hold none is worth knowing.
    made = argparse.ArgumentParser("trtllm-build", allow_abbrev=False)
    for name, text in _TEXTS.items():
        made.add_argument(f"--{name}", type=str, default=text)
    for name, number in _NUMBERS.items():
        made.add_argument(f"--{name}", type=int, default=number)
    made.add_argument("--max_seq_len", "--max_decoder_seq_len", dest="max_seq_len", type=int)
    made.add_argument(
        "--max_prompt_embedding_table_size", "--max_multimodal_len", type=int, default=0
    )
    for name in _FLAGS:
        made.add_argument(f"--{name}", action="store_true")
    made.add_argument("--lora_dir", type=str, nargs="+")
    made.add_argument("--lora_target_modules", nargs="+", choices=_LORA_MODULES)
    for name, (default, choices) in (_CHOICES | _PLUGINS).items():
        made.add_argument(f"--{name}", type=str, default=default, choices=choices)
    for name, on in _SWITCHES.items():
        default = "enable" if on else "disable"
        made.add_argument(f"--{name}", default=default, choices=["enable", "disable"])
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    checkpoint = json.loads((Path(args.checkpoint_dir) / "config.json").read_text())
    world = checkpoint["mapping"]["world_size"]
    for rank in range(world):
        if not (Path(args.checkpoint_dir) / f"rank{rank}.safetensors").is_file():
            sys.exit(f"no rank{rank}.safetensors in {args.checkpoint_dir}")
    if refusal := _refusal(args, checkpoint["quantization"], int(os.environ.get(SM, "90"))):
        sys.exit(refusal)
    record("trtllm-build", argv, overridden=_overridden(args, checkpoint))
    build_config = {name: value for name, value in vars(args).items() if name not in _PLUGINS}
    config = {"version": "1.2.1", "pretrained_config": checkpoint, "build_config": build_config}
    write_ranks(Path(args.output_dir), config, world, "engine")
    return 0


def _refusal(args: argparse.Namespace, quantization: dict[str, str], sm: int) -> str | None:
    algorithm, cache = quantization["quant_algo"], quantization["kv_cache_quant_algo"]
    for plugin in _NOT_ON_SM100 if sm == 100 else ():
        if getattr(args, plugin) != "disable":
            return f"NotImplementedError: {plugin} is not supported on SM {sm}."
    if 100 <= sm < 120 and (cache == "INT8" or algorithm == "W4A16_AWQ"):
        return "RuntimeError: INT8/INT4 quantization is not supported on SM>=100."
    if 100 <= sm < 120 and (algorithm or "").startswith("W8A8_SQ"):
        return "RuntimeError: SmoothQuant is not supported on SM>=100."
    if args.multiple_profiles == "enable" and args.opt_num_tokens is not None:
        return "RuntimeError: multiple_profiles is enabled, while opt_num_tokens is set."
    if args.streamingllm == "enable":
        return "AssertionError: StreamingLLM is no longer supported"
    return None


def _overridden(args: argparse.Namespace, checkpoint: dict[str, dict[str, str]]) -> list[str]:
    """What the real one would change with a warning: the plan would then be wrong."""
    found = []
    is_llama = checkpoint["architecture"] == "LlamaForCausalLM"
    if args.reduce_fusion == "enable" and not (is_llama and _tp(checkpoint) > 1):
        found.append("reduce_fusion")
    if args.user_buffer == "enable" and (args.reduce_fusion == "disable" or found):
        found.append("user_buffer")
    found += _overridden_attention(args, checkpoint["quantization"])
    drafts = args.max_draft_len if args.speculative_decoding_mode else 0
    if drafts and args.max_num_tokens < args.max_batch_size * (drafts + 1):
        found.append("max_num_tokens")
    return found


def _overridden_attention(args: argparse.Namespace, quantization: dict[str, str]) -> list[str]:
    algorithm, cache = quantization["quant_algo"], quantization["kv_cache_quant_algo"]
    paged, fp8 = args.use_paged_context_fmha == "enable", args.use_fp8_context_fmha == "enable"
    found = []
    if algorithm not in _FP8_WORKFLOWS:
        found += ["use_fp8_context_fmha"] if fp8 else []
        found += ["use_paged_context_fmha"] if paged and cache == "FP8" else []
    elif paged and fp8 != (cache == "FP8"):
        found.append("use_fp8_context_fmha")
    if paged and cache == "INT8":
        found.append("use_paged_context_fmha")
    return found


def _tp(checkpoint: dict[str, dict[str, str]]) -> int:
    return int(checkpoint["mapping"]["tp_size"])

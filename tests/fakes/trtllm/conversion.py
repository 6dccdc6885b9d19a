"""`convert_checkpoint.py` of examples/models/core/llama (fd96a08b) and /qwen (65b31db1)."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tests.fakes.trtllm import record, write_checkpoint

Kind = Literal["llama", "qwen"]

_NUMBERS = {
    "tp_size": 1,
    "pp_size": 1,
    "cp_size": 1,
    "moe_tp_size": -1,
    "moe_ep_size": -1,
    "group_size": 128,
    "workers": 1,
}
_FLAGS = (
    *("use_weight_only", "disable_weight_only_quant_plugin", "per_channel", "per_token"),
    *("int8_kv_cache", "per_group", "load_model_on_cpu", "use_parallel_embedding"),
)
_LLAMA_NUMBERS = {
    "vocab_size": 32000,
    "n_positions": 2048,
    "n_layer": 32,
    "n_head": 32,
    "n_kv_head": None,
    "n_embd": 4096,
    "inter_size": 11008,
    "multiple_of": None,
    "calib_size": 512,
    "calib_max_seq_length": 512,
    "moe_num_experts": 0,
    "moe_top_k": 0,
    "moe_renorm_mode": 1,
}
_LLAMA_FLAGS = (
    *("use_qserve", "fp8_kv_cache", "use_fp8", "use_nvfp4", "use_fp8_rowwise"),
    *("use_meta_fp8_rowwise_recipe", "load_by_shard", "save_config_only"),
    "remove_duplicated_kv_heads",
)
_WEIGHT_ONLY: dict[Kind, list[str]] = {
    "llama": ["int8", "int4", "int8_gptq", "int4_gptq", "int4_awq"],
    "qwen": ["int8", "int4", "int4_gptq"],
}


@functools.cache
def parser(kind: Kind) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("convert_checkpoint.py", allow_abbrev=False)
    made.add_argument("--model_dir", type=str, required=kind == "qwen")
    made.add_argument("--output_dir", type=str, default="tllm_checkpoint")
    made.add_argument("--calib_dataset", type=str, default="ccdv/cnn_dailymail")
    made.add_argument("--smoothquant", "-sq", type=float)
    made.add_argument("--embedding_sharding_dim", type=int, default=0, choices=[0, 1])
    made.add_argument("--dtype", default="auto", choices=["auto", "float16", "bfloat16", "float32"])
    made.add_argument(
        "--weight_only_precision", nargs="?", default="int8", choices=_WEIGHT_ONLY[kind]
    )
    for name, number in (_NUMBERS | (_LLAMA_NUMBERS if kind == "llama" else {})).items():
        made.add_argument(f"--{name}", type=int, default=number)
    for name in (*_FLAGS, *(_LLAMA_FLAGS if kind == "llama" else ())):
        made.add_argument(f"--{name}", action="store_true")
    if kind == "llama":
        _add_llama(made)
    return made


def _add_llama(made: argparse.ArgumentParser) -> None:
    made.add_argument("--ffn_dim_multiplier", type=float)
    made.add_argument("--rms_norm_eps", type=float, default=1e-06)
    made.add_argument("--rotary_base", type=float, default=10000.0)
    made.add_argument("--meta_ckpt_dir", type=str)
    made.add_argument("--quant_ckpt_path", type=str)
    made.add_argument("--hidden_act", type=str, default="silu")
    made.add_argument("--log_level", type=str, default="info")


def main(kind: Kind, argv: Sequence[str]) -> int:
    args = parser(kind).parse_args(argv)
    record(f"{kind}/convert_checkpoint.py", argv)
    cache = "INT8" if args.int8_kv_cache else None
    write_checkpoint(Path(args.output_dir), args.model_dir, args.tp_size, args.pp_size, None, cache)
    return 0

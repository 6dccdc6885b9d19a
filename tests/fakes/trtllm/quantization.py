"""`examples/quantization/quantize.py` c8c6df08."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from tests.fakes.trtllm import record, write_checkpoint

ALGORITHMS = {
    "fp8": "FP8",
    "nvfp4": "NVFP4",
    "int8_sq": "W8A8_SQ_PER_CHANNEL",
    "int4_awq": "W4A16_AWQ",
    "w4a8_awq": "W4A8_AWQ",
    "fp8_pc_pt": "FP8_PER_CHANNEL_PER_TOKEN",
    "int8_wo": "W8A16",
    "int4_wo": "W4A16",
    "full_prec": None,
}
_CHOICES = {
    "decoder_type": ("gptnext", ["gptnext", "llama"]),
    "device": ("cuda", ["cuda", "cpu"]),
    "device_map": ("auto", ["auto", "sequential", "cpu", "gpu"]),
    "dtype": ("auto", ["auto", "float16", "bfloat16", "float32"]),
    "qformat": ("full_prec", list(ALGORITHMS)),
    "kv_cache_dtype": (None, ["int8", "fp8", None]),
}
_NUMBERS = {
    "calib_tp_size": 1,
    "calib_pp_size": 1,
    "seed": 1234,
    "tokenizer_max_seq_length": 2048,
    "batch_size": 1,
    "calib_size": 512,
    "calib_max_seq_length": 512,
    "tp_size": 1,
    "pp_size": 1,
    "cp_size": 1,
    "awq_block_size": 128,
    "num_medusa_heads": 4,
    "num_medusa_layers": 1,
    "max_draft_len": 63,
}
_TEXTS = {
    "model_dir": None,
    "nemo_ckpt_path": None,
    "calib_dataset": "cnn_dailymail",
    "output_dir": "exported_model",
    "medusa_hidden_act": "silu",
    "medusa_model_dir": None,
    "autoq_format": None,
}


@functools.cache
def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("quantize.py", allow_abbrev=False)
    for name, (default, choices) in _CHOICES.items():
        made.add_argument(f"--{name}", default=default, choices=choices)
    for name, number in _NUMBERS.items():
        made.add_argument(f"--{name}", type=int, default=number)
    for name, text in _TEXTS.items():
        made.add_argument(f"--{name}", type=str, default=text)
    made.add_argument("--quantize_lm_head", action="store_true")
    made.add_argument("--quant_medusa_head", action="store_true")
    made.add_argument("--auto_quantize_bits", type=float)
    return made


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    record("quantize.py", argv)
    cache = args.kv_cache_dtype.upper() if args.kv_cache_dtype else None
    algorithm = ALGORITHMS[args.qformat]
    write_checkpoint(
        Path(args.output_dir), args.model_dir, args.tp_size, args.pp_size, algorithm, cache
    )
    return 0

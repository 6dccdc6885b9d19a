"""Stand-ins of TensorRT-LLM 1.2's programs: their parsers and checks are real, their work is not.

Flags, types, choices and defaults are those of the files that
builders/tensorrt_llm/build_commands.py names. `bin/` goes on PATH, `examples/` in place of
/app/examples. Each call appends a line to the file that TRTLLM_STAND_IN_LOG names, and writes the
files that the real program would, with a text in place of weights.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

LOG = "TRTLLM_STAND_IN_LOG"
SM = "TRTLLM_STAND_IN_SM"
"""The GPU that the machine has not: "90" for compute capability 9.0."""

PLACEHOLDER = "A stand-in of tests/fakes/trtllm wrote this: not weights, not an engine.\n"


def record(program: str, argv: Sequence[str], **notes: object) -> None:
    """One line of the log."""
    if path := os.environ.get(LOG):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"program": program, "argv": list(argv), **notes}) + "\n")


def write_ranks(folder: Path, config: dict[str, object], ranks: int, suffix: str) -> None:
    """config.json and one file per GPU."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"stand_in": True, **config}, indent=2))
    for rank in range(ranks):
        (folder / f"rank{rank}.{suffix}").write_text(PLACEHOLDER)


def write_checkpoint(
    folder: Path, model_dir: str, tp: int, pp: int, algorithm: str | None, cache: str | None
) -> None:
    """As convert_checkpoint.py and quantize.py leave it."""
    source = json.loads((Path(model_dir) / "config.json").read_text())
    config: dict[str, object] = {
        "architecture": source["architectures"][0],
        "dtype": "bfloat16",
        "mapping": {"world_size": tp * pp, "tp_size": tp, "pp_size": pp},
        "quantization": {"quant_algo": algorithm, "kv_cache_quant_algo": cache},
    }
    write_ranks(folder, config, tp * pp, "safetensors")

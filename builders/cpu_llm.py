"""The LLM for the `cpu` SKU: a Hugging Face checkpoint to OpenVINO, by optimum-intel."""

import sys
from pathlib import Path

from builders.build_log import BuildLog
from builders.checkpoint import Checkpoint
from builders.spec import ModelSpec, Precision

WEIGHT_FORMATS: dict[Precision, str] = {
    "fp32": "fp32",
    "bf16": "fp16",
    "int8": "int8",
    "int4": "int4",
}
"""optimum-intel's names; weights stored as fp16 are computed in bf16 where the CPU has it."""


def export_llm(spec: ModelSpec, checkpoint: Checkpoint, target: Path, log: BuildLog) -> None:
    """Write openvino_model.{xml,bin} into `target`; raises `BuildError`."""
    command = [
        str(Path(sys.executable).parent / "optimum-cli"),
        *("export", "openvino", "--task", "text-generation-with-past"),
        *("--model", str(checkpoint.path), "--weight-format", WEIGHT_FORMATS[spec.precision]),
        *("--disable-convert-tokenizer", str(target)),
    ]
    log.run(command, {"HF_HUB_OFFLINE": "1"})

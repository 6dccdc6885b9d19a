"""The LLM for the `cpu` SKU: a Hugging Face checkpoint to OpenVINO, by optimum-intel."""

import os
import subprocess
import sys
from pathlib import Path

from builders.checkpoint import Checkpoint
from builders.errors import BuildError
from builders.spec import ModelSpec, Precision

WEIGHT_FORMATS: dict[Precision, str] = {
    "fp32": "fp32",
    "bf16": "fp16",
    "int8": "int8",
    "int4": "int4",
}
"""optimum-intel's names; weights stored as fp16 are computed in bf16 where the CPU has it."""

_LOG_TAIL_LINES = 15


def export_llm(spec: ModelSpec, checkpoint: Checkpoint, target: Path) -> None:
    """Write openvino_model.{xml,bin} into `target`; raises `BuildError` with the log's end."""
    command = [
        str(Path(sys.executable).parent / "optimum-cli"),
        *("export", "openvino", "--task", "text-generation-with-past"),
        *("--model", str(checkpoint.path), "--weight-format", WEIGHT_FORMATS[spec.precision]),
        *("--disable-convert-tokenizer", str(target)),
    ]
    log = target / "export.log"
    with log.open("w") as output:
        done = subprocess.run(
            command,
            check=False,
            stdout=output,
            stderr=output,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )
    if done.returncode:
        tail = "\n".join(log.read_text().splitlines()[-_LOG_TAIL_LINES:])
        raise BuildError(f"model '{spec.name}': the OpenVINO export failed:\n{tail}")
    log.unlink()

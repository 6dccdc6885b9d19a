"""Plans of engines for tests: one call says what is special about each."""

from pathlib import Path
from typing import Any

from builders.checkpoint import Checkpoint
from builders.engine_plan import CONTAINER, TENSORRT_LLM, EnginePlan, RuntimePlan
from builders.gpu_spec import GpuPrecision
from builders.spec import GpuOptions, ModelSpec
from builders.tensorrt_llm.build_commands import (
    Command,
    checkpoint_command,
    engine_command,
    read_architecture,
    tokenizer_info_command,
)
from builders.tensorrt_llm.support import refuse

RUNTIME = RuntimePlan(kv_memory_fraction=0.85)


def engine_plan(
    precision: GpuPrecision = "fp8", capability: str = "9.0", **fields: Any
) -> EnginePlan:
    """A TensorRT engine for one GPU."""
    values: dict[str, Any] = {
        "flavour": "engine",
        "tensorrt_llm": TENSORRT_LLM,
        "container": CONTAINER,
        "compute_capability": capability,
        "precision": precision,
        "tp": 1,
        "pp": 1,
        "max_batch_size": 64,
        "max_num_tokens": 8192,
        "max_seq_len": 4096,
    }
    return EnginePlan(**values | fields)


def llm_spec(**gpu: Any) -> ModelSpec:
    """An LLM whose checkpoint lies anywhere."""
    return ModelSpec(name="my-llm", role="llm", source="x", max_tokens=4096, gpu=GpuOptions(**gpu))


def build_commands(
    plan: EnginePlan, spec: ModelSpec, checkpoint: Path, work: Path, target: Path, examples: Path
) -> tuple[Command, ...]:
    """All that make an engine in `target`, in the order of a build; `work` takes the rest."""
    architecture, converted = read_architecture(Checkpoint(checkpoint, "")), work / "checkpoint"
    refuse(plan, architecture)
    made = [
        checkpoint_command(plan, architecture, checkpoint, converted, examples),
        engine_command(plan, converted, target),
    ]
    if spec.gpu.guided_decoding:
        made.append(tokenizer_info_command(checkpoint, target, examples))
    return tuple(made)

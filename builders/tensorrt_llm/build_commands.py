"""Commands that make TensorRT engines from a Hugging Face checkpoint, with TensorRT-LLM 1.2.

Nothing here has run on a GPU. Flags and recipes were read in NVIDIA/TensorRT-LLM at these commits,
none of which is known to be the tag v1.2.1:
tensorrt_llm/commands/build.py 65f1d153, tensorrt_llm/plugin/plugin.py c20322ff,
examples/quantization/quantize.py c8c6df08, examples/models/core/llama/convert_checkpoint.py
fd96a08b, examples/models/core/qwen/convert_checkpoint.py 65b31db1,
examples/generate_xgrammar_tokenizer_info.py 7ed07f06.
"""

import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.checkpoint import Checkpoint
from builders.engine_plan import EnginePlan
from builders.errors import BuildError
from builders.tensorrt_llm.support import CONVERSIONS, FAMILIES

EXAMPLES = Path("/app/examples")
"""Folder of TensorRT-LLM's examples in the containers."""

TOKENIZER_INFO = "xgrammar_tokenizer_info.json"
"""File in an engine folder that guided decoding reads; the script decides its name."""

PYTHON = "python3"
MODEL_DTYPE = "bfloat16"
"""Type of whatever is not quantized: embedding, head, norms, activations."""

LOGITS_DTYPE = "float32"
"""The backend asserts that the tensors of logits in its config.pbtxt are of this type."""

AWQ_GROUP = 128
"""Weights that share a scale: quantize.py's default, given because the memory plan uses it."""

Flags = Mapping[str, object]


@dataclass(frozen=True)
class Command:
    """One program call; `what` tells the user what it does."""

    argv: tuple[str, ...]
    what: str

    def __str__(self) -> str:
        return shlex.join(self.argv)


def check_programs(commands: Sequence[Command]) -> None:
    """Raises `BuildError` if a program is missing: a quantization takes hours, and the commands
    after it need theirs."""
    for program in dict.fromkeys(command.argv[0] for command in commands):
        if shutil.which(program) is None:
            raise BuildError(
                f"no program '{program}' on this machine, needed for "
                f"{', '.join(c.what for c in commands if c.argv[0] == program)}; the programs "
                "of TensorRT-LLM are in its containers (nvcr.io/nvidia/tritonserver)"
            )


def read_architecture(checkpoint: Checkpoint) -> str:
    """The architecture that config.json names, like "LlamaForCausalLM"."""
    if not (names := checkpoint.config().get("architectures")):
        raise BuildError(
            f"{checkpoint.path}/config.json does not say its architecture; needed: "
            f'"architectures" with one of {", ".join(FAMILIES)}'
        )
    return str(names[0])


def checkpoint_command(
    plan: EnginePlan, architecture: str, checkpoint: Path, to: Path, examples: Path
) -> Command:
    """Converts Hugging Face weights to TensorRT-LLM's: quantized, and split by TP and PP."""
    split = {"tp_size": plan.tp, "pp_size": plan.pp}
    common = {"model_dir": checkpoint, "output_dir": to, "dtype": MODEL_DTYPE, **split}
    if CONVERSIONS[plan.precision].qformat is None:
        folder = FAMILIES[architecture].folder
        script = examples / "models" / "core" / folder / "convert_checkpoint.py"
        # The memory plan assumes a share of the table per GPU; the default copies it to each.
        split_table = ("--use_parallel_embedding",) if plan.tp > 1 else ()
        argv = (*_argv(script, common), *split_table)
        return Command(argv, "converting the checkpoint")
    script = examples / "quantization" / "quantize.py"
    argv = _argv(script, {**common, **_quantization(plan)})
    return Command(argv, f"quantizing the checkpoint to {plan.precision}")


def engine_command(plan: EnginePlan, converted: Path, target: Path) -> Command:
    """Builds one engine per GPU, in parallel, and leaves a cache of timings beside `converted`.

    It has no max_input_len, which is ignored with packed input and context FMHA. FP8 context FMHA
    needs FP8 or NVFP4 weights and an FP8 cache, else it is overridden.
    """
    flags: Flags = {
        "checkpoint_dir": converted,
        "output_dir": target,
        "output_timing_cache": converted.parent / "model.cache",
        "workers": plan.tp * plan.pp,
        "max_batch_size": plan.max_batch_size,
        "max_beam_width": 1,
        "max_num_tokens": plan.max_num_tokens,
        "max_seq_len": plan.max_seq_len,
        "kv_cache_type": "paged",
        "logits_dtype": LOGITS_DTYPE,
        "gemm_plugin": CONVERSIONS[plan.precision].gemm_plugin,
        "remove_input_padding": "enable",
        "context_fmha": "enable",
        "use_paged_context_fmha": "enable",
        "use_fp8_context_fmha": "enable" if plan.kv_dtype == "fp8" else "disable",
        "multiple_profiles": "enable",
    }
    gpus = f"compute capability {plan.compute_capability}, TP{plan.tp} PP{plan.pp}"
    return Command(("trtllm-build", *_words(flags)), f"building the engine for {gpus}")


def tokenizer_info_command(checkpoint: Path, target: Path, examples: Path) -> Command:
    """Writes what the C++ backend's guided decoding needs from the tokenizer."""
    script = examples / "generate_xgrammar_tokenizer_info.py"
    argv = _argv(script, {"model_dir": checkpoint, "output_dir": target})
    return Command(argv, "writing the tokenizer for guided decoding")


def _quantization(plan: EnginePlan) -> Flags:
    flags: dict[str, object] = {"qformat": CONVERSIONS[plan.precision].qformat}
    if plan.kv_dtype != "bf16":
        flags["kv_cache_dtype"] = plan.kv_dtype
    if plan.precision == "w4a16-awq":
        flags["awq_block_size"] = AWQ_GROUP
    return flags


def _argv(script: Path, flags: Flags) -> tuple[str, ...]:
    return (PYTHON, str(script), *_words(flags))


def _words(flags: Flags) -> tuple[str, ...]:
    return tuple(word for name, value in flags.items() for word in (f"--{name}", str(value)))

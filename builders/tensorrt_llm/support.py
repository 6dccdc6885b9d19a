"""What TensorRT-LLM 1.2 can make a TensorRT engine of, as data; asked before hours are spent.

Sources: facts/tensorrt-llm.md 1.1, 4.3 and 6 (the legacy support matrix and tuning guides), and
NVIDIA/TensorRT-LLM at stored commits, none of which is known to be the tag v1.2.1:
tensorrt_llm/builder.py 2a9abd95 (what `build` refuses and what it overrides), its plugin/plugin.py
c20322ff, quantization/quantize_by_modelopt.py 585c7565, examples/models/core/qwen/README.md
89fd9b74 (support matrix), examples/lookahead/README.md 83ab45a5.
"""

import re
from dataclasses import dataclass

from builders.engine_plan import EnginePlan
from builders.errors import BuildError
from builders.gpu import GpuPrecision, KvDtype
from builders.spec import LookaheadSpec

RELEASE = (1, 2)
"""The only release whose flags are known here, and the last that builds engines: 1.3 removed
`trtllm-build` and every convert_checkpoint.py."""

_AMPERE, _ADA, _HOPPER = ("8.0", "8.6"), ("8.9",), ("9.0",)
_BLACKWELL, _RTX_BLACKWELL = ("10.0", "10.3"), ("12.0",)


@dataclass(frozen=True)
class Recipe:
    """How one precision is made, and where it runs.

    `qformat` is the word of quantize.py; None: convert_checkpoint.py. The first of `kv_dtypes` is
    the one that NVIDIA recommends.
    """

    qformat: str | None
    gemm_plugin: str
    capabilities: tuple[str, ...]
    kv_dtypes: tuple[KvDtype, ...]


RECIPES: dict[GpuPrecision, Recipe] = {
    "bf16": Recipe(None, "auto", _AMPERE + _ADA + _HOPPER + _BLACKWELL + _RTX_BLACKWELL, ("bf16",)),
    "fp8": Recipe("fp8", "disable", _ADA + _HOPPER + _BLACKWELL + _RTX_BLACKWELL, ("fp8", "bf16")),
    # builder.py: "SmoothQuant is not supported on SM>=100", meaning 100 to 119.
    "int8-sq": Recipe(
        "int8_sq", "auto", _AMPERE + _ADA + _HOPPER + _RTX_BLACKWELL, ("bf16", "int8")
    ),
    "w4a16-awq": Recipe("int4_awq", "auto", _AMPERE + _ADA + _HOPPER, ("bf16",)),
    "nvfp4": Recipe("nvfp4", "nvfp4", _BLACKWELL + _RTX_BLACKWELL, ("fp8", "bf16")),
}


@dataclass(frozen=True)
class Family:
    """Checkpoints that one convert_checkpoint.py takes: examples/models/core/<folder>."""

    folder: str
    precisions: tuple[GpuPrecision, ...]


_LLAMA = Family("llama", ("bf16", "fp8", "int8-sq", "w4a16-awq", "nvfp4"))

FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Family("qwen", ("bf16", "fp8", "int8-sq", "w4a16-awq")),
}
"""By the first of `architectures` in config.json. Left out: Qwen3. The sources map it to the
same converter, but README 89fd9b74 documents it on the PyTorch backend alone."""

LORA_MODULES = frozenset(
    {"attn_qkv", "attn_q", "attn_k", "attn_v", "attn_dense"}
    | {"mlp_h_to_4h", "mlp_4h_to_h", "mlp_gate"}
)
"""Modules of dense decoders, out of `LoraManager.LORA_MODULE_IDS` (comment in the backend's
config.pbtxt, 2a9abd95)."""

LOOKAHEAD_PRECISIONS: tuple[GpuPrecision, ...] = ("bf16", "fp8")


def has_paged_context(plan: EnginePlan) -> bool:
    """Whether the engine computes prompts on the paged KV cache: reuse and chunks need that.

    builder.py switches it off for INT8 caches, and for FP8 ones beside other than FP8/NVFP4.
    """
    if plan.kv_dtype == "fp8":
        return plan.precision in ("fp8", "nvfp4")
    return plan.kv_dtype != "int8"


def least_num_tokens(lookahead: LookaheadSpec, max_batch_size: int) -> int:
    """What builder.py raises max_num_tokens to: each sequence brings its drafts."""
    return max_batch_size * (lookahead.max_draft_tokens + 1)


def refuse(plan: EnginePlan, architecture: str) -> None:
    """Raises `BuildError` for what TensorRT-LLM would refuse, or do otherwise than planned."""
    _refuse_release(plan)
    _refuse_precision(plan, architecture)
    _refuse_cache(plan)
    if plan.lora and (unknown := sorted(set(plan.lora.targets) - LORA_MODULES)):
        raise BuildError(
            f"LoRA targets {', '.join(unknown)}: unknown; possible: {_names(LORA_MODULES)}"
        )
    if plan.lookahead:
        _refuse_lookahead(plan, plan.lookahead)


def _refuse_release(plan: EnginePlan) -> None:
    if plan.flavour != "engine":
        raise BuildError(f"flavour {plan.flavour}: has no TensorRT engine; possible: engine")
    found = re.match(r"(\d+)\.(\d+)", plan.tensorrt_llm)
    release = tuple(map(int, found.groups())) if found else ()
    if release > RELEASE:
        raise BuildError(
            f"TensorRT engine with TensorRT-LLM {plan.tensorrt_llm}: 1.3 removed engines, "
            "trtllm-build and the checkpoint converters; possible: 1.2.1, or flavour llm-api"
        )
    if release != RELEASE:
        raise BuildError(
            f"TensorRT engine with TensorRT-LLM {plan.tensorrt_llm}: only the flags of 1.2 are "
            "known; possible: 1.2.1"
        )


def _refuse_precision(plan: EnginePlan, architecture: str) -> None:
    if architecture not in FAMILIES:
        raise BuildError(
            f"TensorRT engine of a {architecture}: no converter is documented for it; possible: "
            f"{_names(FAMILIES)}, or flavour llm-api"
        )
    capability, of_family = plan.compute_capability, FAMILIES[architecture].precisions
    able = [name for name in of_family if capability in RECIPES[name].capabilities]
    if plan.precision not in able:
        raise BuildError(
            f"{plan.precision} engine of a {architecture} on compute capability {capability}: "
            f"TensorRT-LLM 1.2 does not make it; possible there: {', '.join(able) or 'none'}"
        )


def _refuse_cache(plan: EnginePlan) -> None:
    possible = RECIPES[plan.precision].kv_dtypes
    if plan.kv_dtype not in possible:
        raise BuildError(
            f"KV cache in {plan.kv_dtype} beside {plan.precision} weights: no recipe; possible: "
            f"{', '.join(possible)}"
        )


def _refuse_lookahead(plan: EnginePlan, lookahead: LookaheadSpec) -> None:
    if plan.precision not in LOOKAHEAD_PRECISIONS or plan.pp > 1:
        raise BuildError(
            f"lookahead decoding with {plan.precision} and pp {plan.pp}: not supported; possible: "
            f"{', '.join(LOOKAHEAD_PRECISIONS)} with pp 1"
        )
    least = least_num_tokens(lookahead, plan.max_batch_size)
    if plan.max_num_tokens < least:
        raise BuildError(
            f"lookahead decoding with max_num_tokens {plan.max_num_tokens}: trtllm-build would "
            f"raise it to {least} ({plan.max_batch_size} sequences of 1 token and "
            f"{lookahead.max_draft_tokens} drafts), which the memory plan doesn't know; possible: "
            f"max_num_tokens {least}, a smaller max_batch_size, or smaller lookahead sizes"
        )


def _names(known: "frozenset[str] | dict[str, Family]") -> str:
    return ", ".join(sorted(known))

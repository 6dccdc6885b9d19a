"""What TensorRT-LLM 1.2 can make an engine of (support.toml): checked before hours are spent.

Source of what `build` refuses and overrides: NVIDIA/TensorRT-LLM, tensorrt_llm/builder.py 2a9abd95.
"""

import tomllib
from pathlib import Path
from typing import Literal

from builders.engine_plan import EnginePlan
from builders.errors import BuildError
from builders.gpu_spec import GpuPrecision
from builders.llm_spec import SpecFile


class Conversion(SpecFile):
    """How one precision is made: quantize.py with `qformat`, or (None) convert_checkpoint.py."""

    qformat: str | None = None
    gemm_plugin: str
    capabilities: tuple[str, ...]


class Family(SpecFile):
    """Checkpoints that one convert_checkpoint.py takes: examples/models/core/<folder>."""

    folder: str
    precisions: tuple[GpuPrecision, ...]


class _Support(SpecFile):
    conversions: dict[GpuPrecision, Conversion]
    families: dict[str, Family]
    """Families, by the first of `architectures` in config.json."""
    llm_api: dict[Literal["architectures"], tuple[str, ...]]
    """Architectures that the LLM API is documented to load."""


_SUPPORT = _Support(
    **tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
)
CONVERSIONS, FAMILIES = _SUPPORT.conversions, _SUPPORT.families
LLM_API = _SUPPORT.llm_api["architectures"]


def refuse(plan: EnginePlan, architecture: str) -> None:
    """Raises `BuildError` for what TensorRT-LLM would refuse, or do in another way than planned."""
    if architecture not in FAMILIES:
        raise BuildError(
            f"TensorRT engine of a {architecture}: no converter is documented for it; possible: "
            f"{', '.join(sorted(FAMILIES))}, or flavour llm-api"
        )
    capability, of_family = plan.compute_capability, FAMILIES[architecture].precisions
    able = [name for name in of_family if capability in CONVERSIONS[name].capabilities]
    if plan.precision not in able:
        raise BuildError(
            f"{plan.precision} engine of a {architecture} on compute capability {capability}: "
            f"TensorRT-LLM 1.2 does not make it; possible there: {', '.join(able) or 'none'}"
        )

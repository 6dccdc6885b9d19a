"""What is known of a GPU: figures, each with its source, from skus/*.toml."""

from collections.abc import Iterator
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field

from builders.llm_spec import SpecFile

GpuPrecision = Literal["nvfp4", "fp8", "int8-sq", "w4a16-awq", "bf16"]
"""How an LLM's weights (and activations) are stored and multiplied on a GPU."""

PRECISION_NAMES: dict[GpuPrecision, str] = {
    "nvfp4": "NVFP4",
    "fp8": "FP8",
    "int8-sq": "INT8-SQ",
    "w4a16-awq": "W4A16 AWQ",
    "bf16": "BF16",
}

GIB = 2**30

KvDtype = Literal["bf16", "fp8"]

Link = Literal["nvlink", "pcie4", "pcie5"]

T = TypeVar("T")


def kv_dtype(precision: GpuPrecision) -> KvDtype:
    """The KV cache's type: FP8 with FP8 and NVFP4 weights, as in TensorRT-LLM's recipes; else BF16.

    With other types, prompts would not be computed on the paged KV cache, which reuse and chunked
    prefill need: builder.py switches that off for INT8, and for FP8 with other weights.
    """
    return "fp8" if precision in ("fp8", "nvfp4") else "bf16"


class Figure(SpecFile, Generic[T]):
    """A value and its source. A source that begins with "unsourced" says that there is none."""

    value: T
    source: Annotated[str, Field(min_length=1)]


class DenseTflops(SpecFile):
    """Peak matrix rate in 10^12 operations per second, without sparsity; None: not in hardware."""

    bf16: Figure[float]
    fp8: Figure[float] | None = None
    int8: Figure[float] | None = None
    nvfp4: Figure[float] | None = None


class Gpu(SpecFile):
    """One kind of GPU and the links between GPUs of one machine.

    `memory_gib` is all memory; `link_gb_s` is per GPU in one direction; `product_names` are NVML's.
    """

    product_names: tuple[str, ...]
    compute_capability: Figure[str]
    memory_gib: Figure[float]
    memory_bandwidth_gb_s: Figure[float]
    link: Figure[Link]
    link_gb_s: Figure[float]
    max_gpus: Annotated[int, Field(ge=1)]
    precisions: Figure[tuple[GpuPrecision, ...]]
    dense_tflops: DenseTflops

    def tflops(self, precision: GpuPrecision) -> float:
        """Peak matrix rate of a precision, W4A16's in BF16; raises `LookupError` if it has none."""
        rates = self.dense_tflops
        kinds = {"nvfp4": rates.nvfp4, "fp8": rates.fp8, "int8-sq": rates.int8}
        figure = kinds.get(precision, rates.bf16)
        if figure is None:
            raise LookupError(precision)
        return figure.value

    def unsourced(self) -> Iterator[str]:
        """Names of the figures without a source, with what they are based on."""
        own = {name: getattr(self, name) for name in type(self).model_fields}
        rates = {f"dense_tflops.{name}": figure for name, figure in self.dense_tflops}
        for name, figure in (own | rates).items():
            if isinstance(figure, Figure) and figure.source.startswith("unsourced"):
                yield f"{name} {figure.value} ({figure.source})"

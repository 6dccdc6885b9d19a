"""What decides the bytes of one LLM engine, and how it is run: made by plan.py."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from builders.gpu_spec import GpuPrecision, KvDtype, kv_dtype

Flavour = Literal["engine", "llm-api"]
"""A TensorRT engine behind NVIDIA's C++ backend, or TensorRT-LLM's LLM API on the checkpoint."""

TENSORRT_LLM = "1.2.1"
"""The only release whose flags and arguments are known here, and the last that builds and runs
engines: 1.3 removed `trtllm-build` and every convert_checkpoint.py. The containers 26.04 to 26.07
hold it (Triton's docs/introduction/compatibility.md)."""

CONTAINER = "26.07-trtllm-python-py3"
"""Tag of nvcr.io/nvidia/tritonserver with that release."""


@dataclass(frozen=True)
class EnginePlan:
    """Everything but the checkpoint that decides an engine's bytes; equal plans share an engine.

    `compute_capability` as in "9.0". `max_num_tokens` bounds one iteration, `max_seq_len` prompt
    and answer together.
    """

    flavour: Flavour
    tensorrt_llm: str
    container: str
    compute_capability: str
    precision: GpuPrecision
    tp: int
    pp: int
    max_batch_size: int
    max_num_tokens: int
    max_seq_len: int

    @property
    def kv_dtype(self) -> KvDtype:
        return kv_dtype(self.precision)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for keys, manifests and reports."""
        return {**TypeAdapter(EnginePlan).dump_python(self), "kv_dtype": self.kv_dtype}


@dataclass(frozen=True)
class RuntimePlan:
    """How an engine is run; `kv_memory_fraction` is a share of the memory that the loaded engine
    leaves free."""

    kv_memory_fraction: float
    guided_decoding: bool = False

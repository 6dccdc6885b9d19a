"""Types and shapes of tensors."""

from dataclasses import dataclass
from enum import Enum


class DType(Enum):
    """Element types; the values are the names in client requests (KServe v2)."""

    BOOL = "BOOL"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    FP16 = "FP16"
    FP32 = "FP32"
    STRING = "BYTES"

    @property
    def config_name(self) -> str:
        """The name in config.pbtxt, such as `TYPE_INT64`."""
        return f"TYPE_{self.name}"


Dim = int | str
"""A fixed size, or the name of a size that is known at run time only (-1 in config.pbtxt)."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    `dims` leave out the batch dimension, as config.pbtxt does. A `ragged` input may differ in shape
    between requests that Triton's dynamic batcher merges.
    """

    name: str
    dtype: DType
    dims: tuple[Dim, ...]
    optional: bool = False
    ragged: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """`dims` with -1 for each named size."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.dims)

    def __str__(self) -> str:
        dims = ", ".join(str(dim) for dim in self.dims)
        return f"{self.name} {self.dtype.name}[{dims}]"


def tensor(name: str, dtype: DType, *dims: Dim, ragged: bool = False) -> TensorSpec:
    return TensorSpec(name, dtype, dims, ragged=ragged)


def optional(name: str, dtype: DType, *dims: Dim) -> TensorSpec:
    """An input that a request may leave out, or an output that depends on such an input."""
    return TensorSpec(name, dtype, dims, optional=True)

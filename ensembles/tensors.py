"""Tensor types and shapes, in the words of Triton's model configuration."""

from dataclasses import dataclass
from enum import Enum


class DType(Enum):
    """Element types used by the contracts; values are the KServe v2 names that clients send."""

    BOOL = "BOOL"
    INT32 = "INT32"
    INT64 = "INT64"
    UINT64 = "UINT64"
    FP16 = "FP16"
    FP32 = "FP32"
    STRING = "BYTES"

    @property
    def config_name(self) -> str:
        """The `data_type` that config.pbtxt uses for this type, such as `TYPE_INT64`."""
        return f"TYPE_{self.name}"


Dim = int | str
"""A fixed size, or the name of a size that is known only at run time (rendered as -1)."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    `dims` leaves out the batch dimension, as Triton's configuration does. `ragged` inputs may
    differ in shape between requests that the dynamic batcher merges.
    """

    name: str
    dtype: DType
    dims: tuple[Dim, ...]
    optional: bool = False
    ragged: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """`dims` with every symbolic size replaced by -1."""
        return tuple(dim if isinstance(dim, int) else -1 for dim in self.dims)

    def __str__(self) -> str:
        dims = ", ".join(str(dim) for dim in self.dims)
        return f"{self.name} {self.dtype.name}[{dims}]"

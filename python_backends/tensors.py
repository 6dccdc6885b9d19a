"""Inputs and outputs of a stage, as numpy arrays by tensor name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ensembles.tensors import DType
from python_backends.errors import RequestError

Array = NDArray[Any]
Outputs = Mapping[str, Array | Sequence[str]]
"""Output tensors; a one-dimensional STRING tensor may be a sequence of str."""

NUMPY_TYPES: dict[DType, type] = {
    DType.BOOL: np.bool_,
    DType.INT32: np.int32,
    DType.INT64: np.int64,
    DType.UINT32: np.uint32,
    DType.UINT64: np.uint64,
    DType.FP16: np.float16,
    DType.FP32: np.float32,
    DType.STRING: np.object_,
}


@dataclass(frozen=True)
class Tensors:
    """The inputs of one request; a STRING tensor is an object array of bytes."""

    values: Mapping[str, Array]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def array(self, name: str) -> Array:
        return self.values[name]

    def scalar(self, name: str) -> Any:
        """The single value of a tensor as a Python number or bool; None when it is absent."""
        if name not in self.values:
            return None
        array = self.values[name]
        if array.size != 1:
            raise RequestError(f"{name}: one value expected, {array.size} given")
        return array.reshape(-1)[0].item()

    def texts(self, name: str) -> list[str]:
        """The decoded values of a STRING tensor; raises `RequestError` for invalid UTF-8."""
        return [_decode(name, i, value) for i, value in enumerate(self.values[name].reshape(-1))]

    def text(self, name: str, default: str | None = None) -> str:
        """The one value of a STRING tensor, or `default` where it may be absent.

        Raises `RequestError` for other than one, and for invalid UTF-8.
        """
        if default is not None and name not in self.values:
            return default
        texts = self.texts(name)
        if len(texts) != 1:
            raise RequestError(f"{name}: one string expected, {len(texts)} given")
        return texts[0]


def _decode(name: str, index: int, value: bytes | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{name}[{index}]: not valid UTF-8 at byte {error.start} of {len(value)}"
        ) from error

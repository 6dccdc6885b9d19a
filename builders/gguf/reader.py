"""GGUF files: the header's fields and the tensors, as ggml's own Python package reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from gguf import GGUFReader, ReaderTensor, quants

from builders.errors import GgufError

T = TypeVar("T", int, float, bool, str)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Gguf:
    """An open file: its header's fields, and its tensors by name."""

    values: Mapping[str, Any]
    tensors: Mapping[str, ReaderTensor]

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, as numpy has it."""
        return tuple(self.tensors[name].shape.tolist()[::-1])

    def decode(self, name: str) -> Floats:
        """A tensor's values as float32. Raises `GgufError`."""
        tensor = self.tensors[name]
        try:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError as error:
            raise GgufError(
                f"tensor '{name}' is of kind {tensor.tensor_type.name}, which the package gguf "
                "does not decode; possible: a file in another quantization"
            ) from error
        return np.asarray(values.reshape(self.shape(name)), np.float32)

    def read(self, key: str, kind: type[T], default: T | None = None) -> T:
        """A field's value; without a default it has to be there. Raises `GgufError`."""
        if (value := self.values.get(key, default)) is None:
            raise GgufError(f"field '{key}' is missing")
        if not isinstance(value, (int, float) if kind is float else kind):
            found = "a list" if isinstance(value, list) else f"{value!r:.40}"
            raise GgufError(f"field '{key}' is {found}; possible: one {kind.__name__}")
        return kind(value)

    def read_list(self, key: str, kind: type[T]) -> list[T]:
        """A field's list, which has to be there. Raises `GgufError`."""
        if (values := self.values.get(key)) is None:
            raise GgufError(f"field '{key}' is missing")
        if not isinstance(values, list) or not all(isinstance(v, kind) for v in values):
            raise GgufError(f"field '{key}' is not a list of {kind.__name__}")
        return values


def read_gguf(path: Path) -> Gguf:
    """The file, mapped: tensors are read when they are decoded. Raises `GgufError`, `OSError`."""
    try:
        file = GGUFReader(path)
        read = {name: field.contents() for name, field in file.fields.items()}
    except OSError:
        raise
    except Exception as error:  # numpy's, and the package's own
        said = " ".join(str(error).split())
        raise GgufError(f"it is no GGUF, damaged or cut short ({said}); copy it again") from error
    if file.byte_order != "I":
        raise GgufError("it is big-endian; possible: little-endian")
    values = {name: v.item() if isinstance(v, np.generic) else v for name, v in read.items()}
    return Gguf(values, {tensor.name: tensor for tensor in file.tensors})

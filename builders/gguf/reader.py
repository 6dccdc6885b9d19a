"""GGUF files: the header's fields and the tensors, as ggml's own Python package reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", int, float, bool, str)
Floats = npt.NDArray[np.float32]


class GgufError(ValueError):
    """A file that can't be used: the sentence says which field or tensor, and what is possible."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: `shape` as numpy has it, `kind` as ggml names its format."""

    name: str
    shape: tuple[int, ...]
    kind: str
    data: npt.NDArray[Any]

    def decode(self) -> Floats:
        """Values as float32. Raises `GgufError`."""
        from gguf import GGMLQuantizationType, quants

        try:
            values = quants.dequantize(self.data, GGMLQuantizationType[self.kind])
        except NotImplementedError as error:
            raise GgufError(
                f"tensor '{self.name}' is of kind {self.kind}, which the package gguf does not "
                "decode; possible: a file in another quantization"
            ) from error
        return np.asarray(values.reshape(self.shape), np.float32)


class Fields:
    """The fields of a header, read with the type that they must have."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def read(self, key: str, kind: type[T], default: T | None = None) -> T:
        """One value; without a default it has to be there. Raises `GgufError`."""
        value = self._values.get(key, default)
        if value is None:
            raise GgufError(f"field '{key}' is missing")
        if not isinstance(value, (int, float) if kind is float else kind):
            raise GgufError(f"field '{key}' is {_named(value)}; possible: one {kind.__name__}")
        return kind(value)

    def read_list(self, key: str, kind: type[T]) -> list[T]:
        """A list, which has to be there. Raises `GgufError`."""
        values = self._values.get(key)
        if values is None:
            raise GgufError(f"field '{key}' is missing")
        if not isinstance(values, list) or not all(isinstance(v, kind) for v in values):
            raise GgufError(f"field '{key}' is not a list of {kind.__name__}")
        return values


def _named(value: object) -> str:
    return "a list" if isinstance(value, list) else f"{value!r:.40}"


@dataclass(frozen=True)
class Gguf:
    """An open file: its fields, and its tensors by name."""

    fields: Fields
    tensors: Mapping[str, Tensor]


def read_gguf(path: Path) -> Gguf:
    """The file, mapped: tensors are read when they are decoded. Raises `GgufError`, `OSError`."""
    from gguf import GGUFReader

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
    tensors = {
        each.name: Tensor(
            each.name, tuple(reversed(each.shape.tolist())), each.tensor_type.name, each.data
        )
        for each in file.tensors
    }
    fields = {name: v.item() if isinstance(v, np.generic) else v for name, v in read.items()}
    return Gguf(Fields(fields), tensors)

"""GGUF files: the header's fields and the tensors (format: docs/gguf.md of ggml-org/ggml).

The header is read here, not by gguf.GGUFReader: that takes 5 s for SmolLM2's vocabulary where this
takes 0.2 s, and says neither which field nor which tensor of a damaged file is at fault.
"""

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_DIMENSIONS = 4
_MAX_NAME = 200
_ALIGNMENT_BYTES = 32
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?", 10: "<u8",
    11: "<i8", 12: "<f8",
}  # fmt: skip
"""numpy's name of each scalar type of a field."""

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
    data: npt.NDArray[np.uint8]

    def decode(self) -> Floats:
        """Values as float32, by the reference implementation of ggml's own Python package."""
        from gguf import GGMLQuantizationType, quants

        rows = self.data.reshape(int(np.prod(self.shape[:-1])), -1)
        return quants.dequantize(rows, GGMLQuantizationType[self.kind]).reshape(self.shape)


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
    """An open file: its fields, and its tensors by name, all within the file's length."""

    fields: Fields
    tensors: Mapping[str, Tensor]


def read_gguf(path: Path) -> Gguf:
    """The file, mapped: tensors are read when they are decoded. Raises `GgufError`, `OSError`."""
    header = _Header(path)
    fields = Fields({header.name(): header.field() for _ in header.counted(header.field_count)})
    infos = [header.tensor_info() for _ in header.counted(header.tensor_count)]
    alignment = fields.read("general.alignment", int, _ALIGNMENT_BYTES)
    if alignment < 1:
        raise GgufError("field 'general.alignment' is below 1")
    start = -(-header.at // alignment) * alignment
    tensors = {info.name: _tensor(info, start, header.data) for info in infos}
    return Gguf(fields, tensors)


@dataclass(frozen=True)
class _TensorInfo:
    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class _Header:
    """Reads forward through the header; `part` is what an error is about."""

    def __init__(self, path: Path) -> None:
        if not path.stat().st_size:
            raise GgufError("it is empty")
        self.data = np.memmap(path, np.uint8, "r")
        self._bytes = self.data.data
        self.at, self.part = 0, "the header"
        if bytes(self.data[:4]) != _MAGIC:
            raise GgufError(f"it begins with {bytes(self.data[:4])!r}; a GGUF begins with b'GGUF'")
        self.at = 4
        (version,) = self._unpack("<I")
        if version not in _VERSIONS:
            raise GgufError(f"GGUF version {version}; possible: 2 and 3, little-endian")
        self.tensor_count, self.field_count = self._unpack("<QQ")

    def counted(self, count: int) -> range:
        """As many turns; each takes at least a byte, so a count beyond the file is damage."""
        if count > len(self.data) - self.at:
            raise GgufError(f"it is damaged or cut short: {self.part} counts {count} entries")
        return range(count)

    def name(self) -> str:
        """The name of a field or tensor: what the next errors are about."""
        name = self.string()
        if not name.isprintable() or len(name) > _MAX_NAME:
            raise GgufError(f"it is damaged: after {self.part} comes no name")
        self.part = f"'{name}'"
        return name

    def string(self) -> str:
        (length,) = self._unpack("<Q")
        try:
            return str(self._take(length), "utf-8")
        except UnicodeDecodeError as error:
            raise GgufError(f"it is damaged: text of or after {self.part} is not UTF-8") from error

    def field(self) -> Any:
        """The value after a field's name."""
        (kind,) = self._unpack("<I")
        if kind == _ARRAY:
            return self._values(*self._unpack("<IQ"))
        return self._values(kind, 1)[0]

    def _values(self, kind: int, count: int) -> list[Any]:
        if kind == _STRING:
            return [self.string() for _ in self.counted(count)]
        if kind not in _SCALARS:
            raise GgufError(f"it is damaged: field {self.part} has the unknown type {kind}")
        dtype = np.dtype(_SCALARS[kind])
        values: list[Any] = np.frombuffer(self._take(count * dtype.itemsize), dtype).tolist()
        return values

    def tensor_info(self) -> _TensorInfo:
        name = self.name()
        (rank,) = self._unpack("<I")
        if rank > _MAX_DIMENSIONS:
            raise GgufError(f"it is damaged: tensor '{name}' has {rank} dimensions")
        shape = self._unpack(f"<{rank}Q")
        kind, offset = self._unpack("<IQ")
        return _TensorInfo(name, tuple(reversed(shape)), kind, offset)

    def _unpack(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self._take(struct.calcsize(form)))

    def _take(self, count: int) -> memoryview:
        taken = self._bytes[self.at : self.at + count]
        if len(taken) < count:
            raise GgufError(f"it is damaged or cut short: it ends within or after {self.part}")
        self.at += count
        return taken


@functools.cache
def decodable_kinds() -> tuple[str, ...]:
    """The formats of tensors that ggml's Python package decodes."""
    from gguf import GGML_QUANT_SIZES, quants

    def decodes(kind: Any) -> bool:
        try:
            quants.dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError:
            return False
        return True

    return tuple(kind.name for kind in GGML_QUANT_SIZES if decodes(kind))


def _tensor(info: _TensorInfo, start: int, data: npt.NDArray[np.uint8]) -> Tensor:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if info.kind not in set(GGMLQuantizationType):
        raise GgufError(f"tensor '{info.name}' is of the unknown kind {info.kind}")
    kind = GGMLQuantizationType(info.kind)
    if kind.name not in decodable_kinds():
        raise GgufError(
            f"tensor '{info.name}' is of kind {kind.name}; possible: {', '.join(decodable_kinds())}"
        )
    values, size = GGML_QUANT_SIZES[kind]
    if not info.shape or info.shape[-1] % values or 0 in info.shape:
        raise GgufError(
            f"it is damaged: tensor '{info.name}' of kind {kind.name} has the shape "
            f"{list(info.shape)}, not rows of {values} values"
        )
    first = start + info.offset
    last = first + int(np.prod(info.shape, dtype=object)) // values * size
    if last > len(data):
        raise GgufError(
            f"it is cut short: tensor '{info.name}' ends at byte {last}, the file at {len(data)}"
        )
    return Tensor(info.name, info.shape, kind.name, data[first:last])

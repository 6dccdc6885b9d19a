"""Inputs and outputs of an ONNX file, read without ONNX: its weights are stepped over."""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOST_FIELDS = 500_000
"""Limit for one message; a file with more is not looked at."""

TYPES = {
    1: "TYPE_FP32", 2: "TYPE_UINT8", 3: "TYPE_INT8", 4: "TYPE_UINT16", 5: "TYPE_INT16",
    6: "TYPE_INT32", 7: "TYPE_INT64", 8: "TYPE_STRING", 9: "TYPE_BOOL", 10: "TYPE_FP16",
    11: "TYPE_FP64", 12: "TYPE_UINT32", 13: "TYPE_UINT64", 16: "TYPE_BF16",
}  # fmt: skip
"""TensorProto.DataType, as Triton names them."""

_GRAPH, _INITIALIZER, _INPUT, _OUTPUT = 7, 5, 11, 12
_NAME_OF_TENSOR, _NAME, _TYPE, _TENSOR_TYPE, _ELEMENT, _SHAPE, _DIM, _VALUE = 8, 1, 2, 1, 1, 2, 1, 1


class _Malformed(Exception):
    """The bytes are no such message."""


@dataclass(frozen=True)
class FileTensor:
    """An input or output; a size that varies is -1."""

    name: str
    data_type: str
    dims: tuple[int, ...] | None
    """None where the file does not tell."""


@dataclass(frozen=True)
class ModelFile:
    """What a file declares."""

    inputs: tuple[FileTensor, ...]
    outputs: tuple[FileTensor, ...]
    others: frozenset[str]
    """Further names that a configuration may use, such as initializers."""


@dataclass(frozen=True)
class _Part:
    """A length-delimited field, or a number."""

    number: int
    start: int
    end: int
    value: int = 0


def read_onnx(path: Path) -> ModelFile | None:
    """The graph's ends; None where the file can't be read as ONNX."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for part in _parts(data, 0, len(data)):
                if part.number == _GRAPH:
                    return _graph(data, part)
    except (OSError, ValueError, _Malformed, UnicodeDecodeError):
        return None
    return None


def _graph(data: mmap.mmap, graph: _Part) -> ModelFile | None:
    inputs: list[FileTensor] = []
    outputs: list[FileTensor] = []
    initializers: set[str] = set()
    for part in _parts(data, graph.start, graph.end):
        if part.number == _INPUT:
            inputs.append(_tensor(data, part))
        elif part.number == _OUTPUT:
            outputs.append(_tensor(data, part))
        elif part.number == _INITIALIZER:
            initializers.add(_text(data, part, _NAME_OF_TENSOR))
    if not outputs:
        return None
    real = tuple(tensor for tensor in inputs if tensor.name not in initializers)
    return ModelFile(real, tuple(outputs), frozenset(initializers))


def _tensor(data: mmap.mmap, value: _Part) -> FileTensor:
    kind, dims = "", None
    for outer in _parts(data, value.start, value.end):
        for tensor in _parts(data, outer.start, outer.end) if outer.number == _TYPE else ():
            for part in (
                _parts(data, tensor.start, tensor.end) if tensor.number == _TENSOR_TYPE else ()
            ):
                if part.number == _ELEMENT:
                    kind = TYPES.get(part.value, "")
                elif part.number == _SHAPE:
                    dims = tuple(_size(data, dim) for dim in _parts(data, part.start, part.end))
    return FileTensor(_text(data, value, _NAME), kind, dims)


def _size(data: mmap.mmap, dim: _Part) -> int:
    for part in _parts(data, dim.start, dim.end):
        if part.number == _VALUE and 0 < part.value < 2**62:
            return part.value
    return -1


def _text(data: mmap.mmap, message: _Part, number: int) -> str:
    for part in _parts(data, message.start, message.end):
        if part.number == number:
            return data[part.start : part.end].decode()
    return ""


def _parts(data: mmap.mmap, start: int, end: int) -> Iterator[_Part]:
    for _ in range(MOST_FIELDS):
        if start >= end:
            return
        tag, start = _varint(data, start, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, start = _varint(data, start, end)
            yield _Part(number, start, start, value)
        elif wire == 2:
            size, start = _varint(data, start, end)
            if start + size > end:
                raise _Malformed
            yield _Part(number, start, start + size)
            start += size
        elif wire in (1, 5):
            start += 8 if wire == 1 else 4
        else:
            raise _Malformed
    raise _Malformed


def _varint(data: mmap.mmap, start: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if start >= end:
            raise _Malformed
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
    raise _Malformed

"""Requests and answers as bytes, apart from our client: a fault in that must not hide here.

Unlike a client's, these tensors may be wrong on purpose: bytes that are not UTF-8, any shape.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as protocol

Message = Any
"""A protobuf message of the KServe v2 protocol; the generated classes carry no types."""

_NUMPY_TYPES = {"BOOL": "?", "INT32": "<i4", "INT64": "<i8", "UINT64": "<u8", "FP32": "<f4"}


@dataclass(frozen=True)
class Tensor:
    """An input; the shape of its values where `shape` is empty."""

    name: str
    dtype: str
    values: tuple[Any, ...]
    shape: tuple[int, ...] = ()

    def raw(self) -> bytes:
        """Little-endian; BYTES values each behind their length."""
        if self.dtype != "BYTES":
            return np.asarray(self.values, dtype=_NUMPY_TYPES[self.dtype]).tobytes()
        return b"".join(struct.pack("<I", len(v)) + v for v in map(_encoded, self.values))


def _encoded(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def make_request(model: str, tensors: Sequence[Tensor], request_id: str = "") -> Message:
    """A `ModelInferRequest`, whose decoupled errors are to come with their codes."""
    request = protocol.ModelInferRequest(model_name=model, id=request_id)
    request.parameters["errors_in_band"].bool_param = True
    for tensor in tensors:
        shape = tensor.shape or (len(tensor.values),)
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=shape)
        request.raw_input_contents.append(tensor.raw())
    return request


class Response:
    """Output tensors by name."""

    def __init__(self, message: Message) -> None:
        pairs = zip(message.outputs, message.raw_output_contents, strict=True)
        self._outputs = {output.name: (output, raw) for output, raw in pairs}

    def text(self, name: str) -> str:
        """The first string of a BYTES tensor; empty where the response lacks the tensor."""
        if name not in self._outputs:
            return ""
        raw = self._outputs[name][1]
        (size,) = struct.unpack_from("<I", raw)
        return bytes(raw[4 : 4 + size]).decode()

    def numbers(self) -> NDArray[Any]:
        """All numeric outputs, in the order of their names, as one row."""
        found = [
            np.frombuffer(raw, dtype=_NUMPY_TYPES[output.datatype]).astype(np.float64)
            for _, (output, raw) in sorted(self._outputs.items())
            if output.datatype in _NUMPY_TYPES
        ]
        return np.concatenate(found) if found else np.empty(0)

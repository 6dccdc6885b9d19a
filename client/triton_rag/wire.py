"""Packs tensors for the KServe v2 protocol (gRPC) and unpacks them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as protocol
from tritonclient.utils import deserialize_bytes_tensor, serialize_byte_tensor, triton_to_np_dtype

from triton_rag.errors import ServerFailed
from triton_rag.status import ERRORS_IN_BAND

Message = Any
"""A protobuf message of the KServe v2 protocol; the generated classes carry no types."""


@dataclass(frozen=True)
class Tensor:
    """An input tensor. `dtype` is the protocol's name of its type; BYTES means UTF-8 strings.

    It is one-dimensional, unless `values` is an array.
    """

    name: str
    dtype: str
    values: Sequence[Any] | NDArray[Any]

    @property
    def shape(self) -> list[int]:
        return list(getattr(self.values, "shape", (len(self.values),)))

    def to_bytes(self) -> bytes:
        """The values as the protocol writes them: little-endian, each string after its length."""
        array = np.array(self.values, dtype=triton_to_np_dtype(self.dtype))
        if self.dtype == "BYTES":
            array = serialize_byte_tensor(array)  # of dtype object, empty where there are no values
            return bytes(array.item()) if array.size else b""
        return array.tobytes()


def make_request(model: str, tensors: Iterable[Tensor]) -> Message:
    """A `ModelInferRequest` for the model's newest version."""
    request = protocol.ModelInferRequest(model_name=model)
    for tensor in tensors:
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=tensor.shape)
        request.raw_input_contents.append(tensor.to_bytes())
    return request


KEEPS_DEADLINES = ("llm", "rag_cancellable", "answer")
"""Models that end at a deadline; the others refuse one, and only the client stops waiting."""


def set_timeout(request: Message, timeout_s: float | None) -> None:
    """Tell the server how long the client waits for the answer; None means no limit."""
    if timeout_s is not None and request.model_name in KEEPS_DEADLINES:
        request.parameters["timeout"].int64_param = max(1, round(timeout_s * 1e6))


def make_stream_request(model: str, tensors: Iterable[Tensor]) -> Message:
    """A `ModelInferRequest` to a streaming model, whose errors then have codes."""
    request = make_request(model, tensors)
    request.parameters[ERRORS_IN_BAND].bool_param = True
    return request


class Response:
    """The output tensors of one `ModelInferResponse`; those of a streamed one may be partial."""

    def __init__(self, message: Message) -> None:
        self._model = message.model_name
        pairs = zip(message.outputs, message.raw_output_contents, strict=True)
        self._outputs = {output.name: (output, raw) for output, raw in pairs}

    def __contains__(self, name: str) -> bool:
        return name in self._outputs

    def array(self, name: str) -> NDArray[Any]:
        """A numeric tensor, read-only, in the shape and dtype that the server gave it."""
        output, raw = self._find(name)
        array = np.frombuffer(raw, dtype=triton_to_np_dtype(output.datatype))
        return array.reshape(tuple(output.shape))

    def number(self, name: str) -> int:
        return int(self.array(name).item())

    def texts(self, name: str) -> list[str]:
        return [
            text.decode(errors="replace") for text in deserialize_bytes_tensor(self._find(name)[1])
        ]

    def text(self, name: str) -> str:
        """The only value of a BYTES tensor; empty where the response lacks the tensor."""
        return "".join(self.texts(name)) if name in self else ""

    def _find(self, name: str) -> tuple[Message, bytes]:
        if name not in self._outputs:
            raise ServerFailed(
                f"the answer of model '{self._model}' has no '{name}', only "
                f"{', '.join(self._outputs) or 'nothing'}: is this the right server?"
            )
        return self._outputs[name]

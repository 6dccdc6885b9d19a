"""Our server as a target: gRPC without tritonclient's classes, so that the client costs little on
cores that it shares with the server. Requests are serialized before the clock runs.
"""

import itertools
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from tritonclient.grpc.service_pb2 import ModelInferRequest, ModelInferResponse
from tritonclient.grpc.service_pb2 import ModelStreamInferResponse as StreamResponse

from tests.load.records import Refused
from tests.load.workloads import Embed, Generate, Rag, Request, Rerank

_ADDED_DATATYPES = {bool: "BOOL", int: "INT32"}
_SERVICE = "/inference.GRPCInferenceService/"
_CHANNELS = 4
_OVERLOADED = ("try again later", "Exceeds maximum queue size")
_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class StreamFault(Exception):
    """An error on a stream that is no refusal."""


class Triton:
    """Channels stay open, and so do streams: a stream carries one request at a time."""

    def __init__(self, url: str) -> None:
        self._channels = [grpc.aio.insecure_channel(url, _OPTIONS) for _ in range(_CHANNELS)]
        self._turn = itertools.cycle(self._channels)
        self._idle: list[Any] = []
        self._infer = itertools.cycle([c.unary_unary(_SERVICE + "ModelInfer")
                                       for c in self._channels])  # fmt: skip

    async def close(self) -> None:
        """Every stream, then every channel."""
        for stream in self._idle:
            stream.cancel()
        for channel in self._channels:
            await channel.close()

    async def unary(self, payload: bytes) -> AsyncIterator[float]:
        """`embed` and `rerank`: rows."""
        try:
            answer = ModelInferResponse.FromString(await next(self._infer)(payload))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                raise Refused from error
            raise
        yield float(answer.outputs[0].shape[0])

    async def rag(self, payload: bytes) -> AsyncIterator[float]:
        """One answer, not streamed."""
        async for _ in self._responses(payload):
            yield 1.0

    async def llm(self, payload: bytes) -> AsyncIterator[float]:
        """Chunks: tokens."""
        async for response in self._responses(payload):
            names = [output.name for output in response.outputs]
            raw = response.raw_output_contents[names.index("num_output_tokens")]
            yield float(struct.unpack("<i", raw)[0])

    async def _responses(self, payload: bytes) -> AsyncIterator[ModelInferResponse]:
        """A stream that was not read to its end is not used again."""
        stream = self._idle.pop() if self._idle else self._open()
        is_over = False
        try:
            await stream.write(payload)
            while not is_over:
                response = StreamResponse.FromString(await stream.read())
                if response.error_message:
                    is_over = True
                    raise _fault(response.error_message)
                answer = response.infer_response
                is_over = answer.parameters["triton_final_response"].bool_param
                yield answer
        finally:
            if is_over:
                self._idle.append(stream)
            else:
                stream.cancel()

    def _open(self) -> Any:
        return next(self._turn).stream_stream(_SERVICE + "ModelStreamInfer")()


def payload(request: Request, model: str, is_streamed: bool = False, **added: int) -> bytes:
    """The serialized request, with `added` inputs of one value each: bool or int."""
    message = ModelInferRequest(model_name=model)
    match request:
        case Embed(texts):
            _add(message, "input_text", "BYTES", texts)
        case Rerank(query, passages):
            _add(message, "query", "BYTES", [query])
            _add(message, "passages", "BYTES", passages)
        case Rag(question, passages):
            _add(message, "question", "BYTES", [question])
            _add(message, "documents", "BYTES", passages)
        case Generate(prompt, tokens):
            _add(message, "text_input", "BYTES", [prompt])
            _add(message, "max_tokens", "INT32", [tokens])
            _add(message, "min_tokens", "INT32", [tokens])
    if is_streamed:
        _add(message, "stream", "BOOL", [True])
    for name, value in added.items():
        _add(message, name, _ADDED_DATATYPES[type(value)], [value])
    return bytes(message.SerializeToString())


def _add(message: ModelInferRequest, name: str, datatype: str, values: Sequence[Any]) -> None:
    message.inputs.add(name=name, datatype=datatype, shape=[len(values)])
    match datatype:
        case "BYTES":
            encoded = [value.encode() for value in values]
            raw = b"".join(struct.pack("<I", len(each)) + each for each in encoded)
        case "INT32":
            raw = struct.pack(f"<{len(values)}i", *values)
        case _:
            raw = struct.pack(f"<{len(values)}?", *values)
    message.raw_input_contents.append(raw)


def _fault(message: str) -> Exception:
    return Refused() if any(text in message for text in _OVERLOADED) else StreamFault()

"""Streams over real messages of the protocol, without a server."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from triton_rag import (
    AnswerStream,
    AsyncAnswerStream,
    AsyncClient,
    Cancelled,
    CompletionStream,
    InvalidRequest,
    Overloaded,
    ServerFailed,
    Source,
    TritonRagError,
)
from triton_rag.trace_context import new_context
from triton_rag.wire import Message, Tensor
from tritonclient.grpc import service_pb2 as protocol

CONTEXT = new_context("my request")
SOURCES = [
    Tensor("sources", "BYTES", ["a", "b"]),
    Tensor("source_document", "INT32", [1, 0]),
    Tensor("source_similarity", "FP32", [0.5, 0.25]),
    Tensor("source_relevance", "FP32", [2.0, 1.0]),
]


def chunk(text: str, *more: Tensor, tokens: int = 1) -> Message:
    message = protocol.ModelStreamInferResponse()
    own = (
        Tensor("text_output", "BYTES", [text]),
        Tensor("num_input_tokens", "INT32", [7]),
        Tensor("num_output_tokens", "INT32", [tokens]),
    )
    for tensor in (*own, *more):
        shape, output = [len(tensor.values)], message.infer_response
        output.outputs.add(name=tensor.name, datatype=tensor.dtype, shape=shape)
        output.raw_output_contents.append(tensor.to_bytes())
    return message


def last(text: str, *more: Tensor, tokens: int = 1) -> Message:
    return chunk(text, Tensor("finish_reason", "BYTES", ["stop"]), *more, tokens=tokens)


ANSWER = [chunk("Hello ", *SOURCES), chunk("[2]"), last("", Tensor("citations", "INT32", [2]))]


class FakeCall:
    """The part of a gRPC call that a stream uses: messages and `cancel`."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.cancelled = asyncio.Event()

    def __iter__(self) -> Iterator[Message]:
        return iter(self.messages)

    async def __aiter__(self) -> AsyncIterator[Message]:
        for message in self.messages:
            yield message
        if not self.messages:
            await self.cancelled.wait()
            raise asyncio.CancelledError  # as grpc.aio does for a call that was cancelled here

    def cancel(self) -> None:
        self.cancelled.set()


def test_pieces_then_the_whole() -> None:
    stream = CompletionStream(
        FakeCall([chunk("a"), chunk("b"), last("c", tokens=2)]), "host", CONTEXT
    )
    assert list(stream) == ["a", "b", "c"]
    assert (stream.completion.text, stream.completion.finish_reason) == ("abc", "stop")
    assert stream.completion.num_input_tokens == 7
    assert stream.completion.num_output_tokens == 4


def test_sources_come_with_the_first_piece() -> None:
    stream = AnswerStream(FakeCall(ANSWER), "host", CONTEXT)
    assert len(stream.sources) == 0
    for piece in stream:
        assert piece == "Hello "
        assert list(stream.sources) == [Source("a", 1, 0.5, 2.0), Source("b", 0, 0.25, 1.0)]
        break


def test_answer_knows_what_it_cites() -> None:
    stream = AnswerStream(FakeCall(ANSWER), "host", CONTEXT)
    assert stream.read() == "Hello [2]"
    assert stream.answer.citations == (2,)
    assert [source.text for source in stream.answer.cited] == ["b"]


def test_result_needs_the_end() -> None:
    stream = AnswerStream(FakeCall(ANSWER), "host", CONTEXT)
    with pytest.raises(RuntimeError, match="to its end"):
        _ = stream.answer


def test_leaving_the_loop_cancels() -> None:
    call = FakeCall(ANSWER)
    stream = AnswerStream(call, "host", CONTEXT)
    for _ in stream:
        assert not call.cancelled.is_set()
        break
    assert call.cancelled.is_set()
    assert list(stream) == []


def test_leaving_the_with_block_cancels() -> None:
    call = FakeCall(ANSWER)
    with AnswerStream(call, "host", CONTEXT):
        assert not call.cancelled.is_set()
    assert call.cancelled.is_set()


def test_error_in_the_stream_is_raised() -> None:
    refused = protocol.ModelStreamInferResponse(error_message="unknown model")
    with pytest.raises(InvalidRequest, match="unknown model"):
        CompletionStream(FakeCall([refused]), "host", CONTEXT).read()
    failed = chunk("UNAVAILABLE: no room", Tensor("finish_reason", "BYTES", ["error"]))
    with pytest.raises(Overloaded, match=r"^no room$"):
        CompletionStream(FakeCall([failed]), "host", CONTEXT).read()


def test_results_and_errors_say_which_request_they_are_of() -> None:
    stream = AnswerStream(FakeCall(ANSWER), "host", CONTEXT)
    assert (stream.request_id, stream.trace_id) == ("my request", CONTEXT.trace_id)
    stream.read()
    assert (stream.answer.request_id, stream.answer.trace_id) == ("my request", CONTEXT.trace_id)
    for messages in ([protocol.ModelStreamInferResponse(error_message="no")], [chunk("a")]):
        with pytest.raises(TritonRagError) as raised:
            CompletionStream(FakeCall(messages), "host", CONTEXT).read()
        assert raised.value.request_id == "my request"
        assert raised.value.trace_id == CONTEXT.trace_id


def test_stream_without_a_last_response_is_the_servers_fault() -> None:
    with pytest.raises(ServerFailed, match="before its last response"):
        CompletionStream(FakeCall([chunk("a")]), "host", CONTEXT).read()


def test_async_answer() -> None:
    async def ask() -> AsyncAnswerStream:
        async with AsyncAnswerStream(FakeCall(ANSWER), "host", CONTEXT) as stream:
            assert [piece async for piece in stream] == ["Hello ", "[2]"]
        return stream

    assert asyncio.run(ask()).answer.text == "Hello [2]"


def test_async_leaving_the_loop_cancels() -> None:
    async def ask(call: FakeCall) -> bool:
        async for _ in AsyncAnswerStream(call, "host", CONTEXT):
            break
        return await asyncio.wait_for(call.cancelled.wait(), 60)

    assert asyncio.run(ask(FakeCall(ANSWER)))


def test_async_close_from_elsewhere_is_told_from_a_cancelled_task() -> None:
    async def ask(stop: Any) -> None:
        call = FakeCall([])
        stream = AsyncAnswerStream(call, "host", CONTEXT)
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stop(stream, task)
        try:
            await task
        finally:
            assert call.cancelled.is_set()

    with pytest.raises(Cancelled, match="closed") as raised:
        asyncio.run(ask(lambda stream, task: stream.close()))
    assert raised.value.request_id == "my request"
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ask(lambda stream, task: task.cancel()))


def test_an_asyncio_call_begins_when_it_is_awaited() -> None:
    client = AsyncClient()
    for call in (client.generate("hello"), client.ask("q", ["d"]), client.embed("text")):
        call.close()
    assert "_channel" not in vars(client)

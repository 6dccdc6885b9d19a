"""Request ids and traceparents: made, taken over from OpenTelemetry, put on every request."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from triton_rag import AsyncClient, Client, TritonRagError, trace_context
from triton_rag.errors import InvalidRequest
from triton_rag.trace_context import TRACEPARENT, RequestContext, new_context
from triton_rag.wire import Message, make_request
from tritonclient.grpc import service_pb2 as protocol

from python_backends.triton import bls, tracing

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_every_context_is_new_and_sampled() -> None:
    first, second = new_context(), new_context()
    assert first.request_id != second.request_id
    assert first.trace_id != second.trace_id
    assert first.traceparent.endswith("-01")


def test_the_server_takes_what_is_sent() -> None:
    assert TRACEPARENT == bls.TRACEPARENT
    assert tracing._valid(new_context().traceparent)


def test_without_opentelemetry_every_call_is_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_context, "opentelemetry", None)
    assert tracing._valid(new_context().traceparent)


@pytest.mark.parametrize("flags", [0, 1])
def test_the_active_span_is_the_parent(flags: int) -> None:
    context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(flags))
    with trace.use_span(trace.NonRecordingSpan(context)):
        assert new_context().traceparent == f"00-{0xABC:032x}-{0xDEF:016x}-{flags:02x}"


def test_what_is_given_wins() -> None:
    found = new_context("mine", GIVEN)
    assert found == RequestContext("mine", GIVEN)
    assert found.trace_id == "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("given", ["", "x", GIVEN.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"])
def test_a_wrong_traceparent_is_told(given: str) -> None:
    with pytest.raises(ValueError, match=r"traceparent: .* given"):
        new_context(None, given)


def test_a_request_carries_both() -> None:
    request = RequestContext("mine", GIVEN).add_to(make_request("llm", []))
    assert (request.id, request.parameters[TRACEPARENT].string_param) == ("mine", GIVEN)


def test_the_header_says_the_same() -> None:
    client = Client(headers={"X-Tenant": "a", "Traceparent": GIVEN})
    found = client._context(None)
    assert found.traceparent == GIVEN
    assert client._metadata(found) == (("x-tenant", "a"), (TRACEPARENT, GIVEN))
    assert (TRACEPARENT, found.traceparent) in Client()._metadata(found)
    assert Client()._metadata() == ()


def test_errors_learn_the_ids_of_their_request() -> None:
    found = RequestContext("mine", GIVEN)
    with pytest.raises(TritonRagError) as raised, found.in_errors():
        raise InvalidRequest("no")
    assert (raised.value.request_id, raised.value.trace_id) == ("mine", found.trace_id)
    assert InvalidRequest("no").request_id == ""


class FakeStub:
    """The part of the gRPC stub that calls use; remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[Message, dict[str, str]]] = []

    def _answer(self, request: Message, metadata: Any) -> Message:
        self.sent.append((request, dict(metadata)))
        answer = protocol.ModelInferResponse()
        answer.outputs.add(name="embedding", datatype="FP32", shape=[1, 1])
        answer.raw_output_contents.append(bytes(4))
        return answer

    def ModelInfer(self, request: Message, *, timeout: Any, metadata: Any) -> Message:  # noqa: N802
        return self._answer(request, metadata)

    def ModelStreamInfer(self, requests: Any, *, timeout: Any, metadata: Any) -> Any:  # noqa: N802
        (request,) = requests
        self._answer(request, metadata)
        return iter(())


class FakeAsyncStub(FakeStub):
    async def ModelInfer(self, request: Message, *, timeout: Any, metadata: Any) -> Message:  # type: ignore[override]  # noqa: N802
        return self._answer(request, metadata)


def blocking(call: Callable[[Any], Any]) -> FakeStub:
    client = Client()
    client._stub = stub = FakeStub()
    call(client)
    return stub


def asynchronous(call: Callable[[Any], Any]) -> FakeStub:
    async def run() -> FakeStub:
        client = AsyncClient(max_rows=1)
        client.__dict__["_stub"] = stub = FakeAsyncStub()
        made = call(client)
        if asyncio.iscoroutine(made):
            await made
        return stub

    return asyncio.run(run())


CALLS: list[Callable[[Any], Any]] = [
    lambda client: client.embed(["a"]),
    lambda client: client.generate_stream("hi"),
    lambda client: client.ask_stream("why?", ["a"]),
]


@pytest.mark.parametrize("run", [blocking, asynchronous])
@pytest.mark.parametrize("call", CALLS)
def test_every_call_is_marked(
    run: Callable[[Callable[[Any], Any]], FakeStub], call: Callable[[Any], Any]
) -> None:
    ((request, headers),) = run(call).sent
    assert len(request.id) == 32
    assert request.parameters[TRACEPARENT].string_param == headers[TRACEPARENT]


@pytest.mark.parametrize("run", [blocking, asynchronous])
def test_ones_own_request_id_is_sent(run: Callable[[Callable[[Any], Any]], FakeStub]) -> None:
    for call in (
        lambda client: client.embed(["a"], request_id="mine"),
        lambda client: client.generate_stream("hi", request_id="mine"),
    ):
        assert [request.id for request, _ in run(call).sent] == ["mine"]


def test_the_requests_of_a_long_list_are_one_call() -> None:
    stub = asynchronous(lambda client: client.embed(["a", "b"]))
    assert len(stub.sent) == 2
    assert len({request.id for request, _ in stub.sent}) == 1
    assert len({headers[TRACEPARENT] for _, headers in stub.sent}) == 1

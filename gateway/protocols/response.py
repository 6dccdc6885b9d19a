"""Writes the response to a call, for all protocols; it ends when its client leaves."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.call import Call, Embedded, Event, Generate, Ranked, Relayed, Sources
from gateway.call import Request as Wanted
from gateway.errors import GatewayError, UpstreamFailed
from gateway.faults import refusal_for
from gateway.protocols.answer import Answer, collect
from gateway.protocols.reading import Json
from gateway.protocols.request import new_call, service

EventT = TypeVar("EventT", Embedded, Ranked, Sources)

DONE = b"data: [DONE]\n\n"

SEND = "gateway.send"
"""Key of the ASGI scope with a function that sends bytes of a body, but not the last ones, without
middleware and uvicorn, whose layers take time for every chunk. HTTP/1.0 requests don't have it."""


def sse(data: Any) -> bytes:
    """One event of a stream of server-sent events, without a name."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def typed_sse(event: Json) -> bytes:
    """One event with its `type` as its name."""
    name: str = event["type"]
    return b"event: " + name.encode() + b"\n" + sse(event)


@dataclass(frozen=True)
class Protocol:
    """How one API writes errors and streams."""

    error_body: Callable[[GatewayError], Any]
    """The JSON of an error response."""
    error_event: Callable[[GatewayError], bytes]
    """The event of an error in a stream whose status was sent already."""
    event: Callable[[Any], bytes] = sse
    """The bytes of an event of a stream."""
    last: bytes = b""
    """The last bytes of a stream that succeeds."""
    stream_type: str = "text/event-stream; charset=utf-8"
    """The content type of a stream."""


def generated(
    request: Request,
    wanted: Generate,
    protocol: Protocol,
    body: Callable[[str, Answer], Json],
    stream: Callable[[str, AsyncGenerator[Event, None]], AsyncGenerator[Json, None]] | None = None,
) -> Response:
    """The response to one generation: `stream` where the client asks for it, otherwise `body`.

    Both take the request's id first. Raises `BadRequest` for headers and counts.
    """
    call = new_call(request, wanted)
    events = service(request).handler(call)
    if wanted.stream and stream:
        return Streaming(call, stream(call.request_id, events), protocol)

    async def whole() -> Json:
        return body(call.request_id, await collect(events))

    return Complete(call, whole())


def single(
    request: Request, wanted: Wanted, kind: type[EventT], body: Callable[[str, EventT], Any]
) -> Response:
    """The response to a request whose answer is one event: embeddings, scores or sources.

    `body` takes the request's id first. Raises `BadRequest` for headers and counts.
    """
    call = new_call(request, wanted)
    events = service(request).handler(call)

    async def whole() -> Any:
        async with aclosing(events):
            async for event in events:
                if isinstance(event, kind):
                    return body(call.request_id, event)
        raise UpstreamFailed(f"the model gave no {kind.__name__}")

    return Complete(call, whole())


async def relayed(call: Call, events: AsyncGenerator[Event, None]) -> Response:
    """The response with a relayed body; its content type is in the call's headers, or JSON."""
    async with aclosing(events):
        body = b"".join([event.data async for event in events if isinstance(event, Relayed)])
    return Response(body, 200, {"content-type": "application/json", **call.headers})


class Complete(Response):
    """One JSON body, or a whole response, computed while the client waits."""

    def __init__(self, call: Call, body: Awaitable[Any]) -> None:
        super().__init__()
        self._call, self._body = call, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def answer() -> None:
            found = await self._body
            if not isinstance(found, Response):
                content = orjson.dumps(found)
                found = Response(content, 200, self._call.headers, "application/json")
            await found(scope, receive, send)

        await until_disconnect(receive, answer())


class Streaming(Response):
    """A stream of events. Its status is sent with the first one, so that an error before it is an
    ordinary response."""

    def __init__(self, call: Call, events: AsyncGenerator[Any, None], protocol: Protocol) -> None:
        super().__init__()
        self._call, self._events, self._protocol = call, events, protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_part(body: bytes) -> None:
            await send(_part(body))

        await until_disconnect(receive, self._stream(send, scope.get(SEND, send_part)))

    async def _stream(self, send: Send, send_part: Callable[[bytes], Awaitable[None]]) -> None:
        write = self._protocol.event
        async with aclosing(self._events) as events:
            first = await anext(events)
            await send(self._start())
            await send_part(write(first))
            last = self._protocol.last
            try:
                async for event in events:
                    await send_part(write(event))
            except Exception as error:
                last = self._protocol.error_event(refusal_for(error, self._call.request_id))
            await send(_part(last, is_last=True))

    def _start(self) -> Json:
        headers = {
            "content-type": self._protocol.stream_type,
            "cache-control": "no-store",
            "x-accel-buffering": "no",  # a proxy must pass events on at once
            **self._call.headers,
        }
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
        }


def _part(body: bytes, *, is_last: bool = False) -> Json:
    return {"type": "http.response.body", "body": body, "more_body": not is_last}


async def until_disconnect(receive: Receive, answer: Coroutine[Any, Any, None]) -> None:
    """Awaits the answer; a client that disconnects cancels it, which is no error.

    The request's body must have been received. The answer has its own task: otherwise each chunk
    would wake all the middleware around it.
    """
    task, is_gone = asyncio.create_task(answer), False

    async def watch() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        task.cancel()

    watcher, own = asyncio.create_task(watch()), asyncio.current_task()
    assert own is not None
    try:
        await task
    except asyncio.CancelledError:
        if not is_gone or own.cancelling():
            raise
    finally:
        watcher.cancel()

"""What all protocols share: a request becomes a call, and a response ends with its client."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import orjson
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.bounds import JSON
from gateway.call import ANYBODY, Call, Caller, Embed, Event, Generate, Moments, Rank, Relayed
from gateway.call import Request as Wanted
from gateway.errors import BadRequest, GatewayError, TooLarge, UpstreamFailed
from gateway.faults import refusal_for
from gateway.service import Service
from gateway.settings import Bounds

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
DEADLINE = "x-request-timeout-ms"
SDK_READ_TIMEOUT = "x-stainless-read-timeout"
"""Seconds that an SDK waits for the next bytes: for an answer without stream, its whole time."""

MAX_DEADLINE_S = 24 * 3600.0

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True)
class Protocol:
    """How one API words an error."""

    error_body: Callable[[GatewayError], Any]
    """As JSON of a response."""
    error_event: Callable[[GatewayError], bytes]
    """Inside a stream, whose status is sent already."""


def json_body(request: Request) -> Any:
    """The request's body, parsed; raises `BadRequest` where there is none."""
    if JSON not in request.scope:
        raise BadRequest("body: empty; a JSON object is needed")
    return request.scope[JSON]


def service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def caller(request: Request) -> Caller:
    """The caller, as the middleware found it; `ANYBODY` without keys."""
    return getattr(request.state, "caller", ANYBODY)


def new_call(request: Request, wanted: Wanted) -> Call:
    _check_counts(wanted, service(request).settings.bounds)
    traceparent = request.headers.get("traceparent", "")
    return Call(
        wanted,
        caller(request),
        request.state.request_id,
        deadline=_deadline(request, wanted),
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else "",
        moments=Moments(arrived_s=request.state.arrived_s),
    )


def _check_counts(wanted: Wanted, bounds: Bounds) -> None:
    """Raises `TooLarge`."""
    match wanted:
        case Generate():
            _check("messages", len(wanted.messages), bounds.messages)
            _check("documents", len(wanted.documents), bounds.texts)
        case Embed():
            _check("texts", len(wanted.texts) + len(wanted.token_ids), bounds.texts)
        case Rank():
            _check("texts", len(wanted.passages), bounds.texts)


def _check(what: str, given: int, most: int) -> None:
    if given > most:
        raise TooLarge(f"{what}: {given} given; at most {most} are possible")


def _deadline(request: Request, wanted: Wanted) -> float | None:
    """In seconds of the loop's clock; `BadRequest` for what is no time."""
    given = request.headers.get(DEADLINE)
    if given is not None:
        if not re.fullmatch(r"[1-9]\d{0,8}", given):
            raise BadRequest(
                f"{DEADLINE}: {given!r:.40} given; whole milliseconds are needed", field=DEADLINE
            )
        left_s = int(given) / 1e3
    elif isinstance(wanted, Generate) and wanted.stream:
        return None
    else:
        left_s = _sdk_timeout_s(request.headers.get(SDK_READ_TIMEOUT, ""))
    if not 0 < left_s <= MAX_DEADLINE_S:
        return None
    return asyncio.get_running_loop().time() + left_s


def _sdk_timeout_s(text: str) -> float:
    """0 for what the SDK doesn't tell."""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text) else 0.0


def choice_calls(call: Call, requests: Sequence[Generate]) -> list[Call]:
    """The call for the first of several requests, and more like it for the others."""
    return [call] + [
        replace(
            call,
            request=each,
            request_id=f"{call.request_id}-{number}",
            headers={},
            moments=Moments(call.moments.arrived_s),
        )
        for number, each in enumerate(requests[1:], start=1)
    ]


def document(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads this request."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced: they would point outside of OpenAPI's document."""
    match schema:
        case {"$ref": str(reference)}:
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        case dict():
            return {key: _inlined(value, definitions) for key, value in schema.items()}
        case list():
            return [_inlined(each, definitions) for each in schema]
    return schema


async def one_event(events: AsyncGenerator[Event, None], kind: type[EventT]) -> EventT:
    """The only event of an answer; raises `UpstreamFailed` where it is another."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, kind):
                return event
    raise UpstreamFailed(f"the model gave no {kind.__name__}")


async def relayed(call: Call, events: AsyncGenerator[Event, None]) -> Response:
    """The response whose body comes as `Relayed`; its type is in the call's headers, or JSON."""
    async with aclosing(events):
        body = b"".join([event.data async for event in events if isinstance(event, Relayed)])
    return Response(body, 200, {"content-type": "application/json", **call.headers})


class Complete(Response):
    """One JSON body, or a whole response, computed while the client waits."""

    def __init__(self, call: Call, body: Awaitable[Any]) -> None:
        super().__init__()
        self._call, self._body = call, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with ended_by_disconnect(receive):
            found = await self._body
            if not isinstance(found, Response):
                content = orjson.dumps(found)
                found = Response(content, 200, self._call.headers, "application/json")
            await found(scope, receive, send)


class Streaming(Response):
    """Server-sent events. The status waits for the first of `chunks`, which may raise instead."""

    def __init__(self, call: Call, chunks: AsyncGenerator[bytes, None], protocol: Protocol) -> None:
        super().__init__()
        self._call, self._chunks, self._protocol = call, chunks, protocol

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with ended_by_disconnect(receive), aclosing(self._chunks) as chunks:
            chunk = await anext(chunks)
            await send(self._start())
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            try:
                async for chunk in chunks:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except Exception as error:
                event = self._protocol.error_event(refusal_for(error, self._call.request_id))
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _start(self) -> dict[str, Any]:
        headers = {
            "content-type": "text/event-stream; charset=utf-8",
            "cache-control": "no-store",
            "x-accel-buffering": "no",  # a proxy in between passes events on as they come
            **self._call.headers,
        }
        return {
            "type": "http.response.start",
            "status": 200,
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
        }


@asynccontextmanager
async def ended_by_disconnect(receive: Receive) -> AsyncIterator[None]:
    """The block is cancelled, and silently left, when the client goes away.

    Its body must have been received.
    """
    task, is_gone = asyncio.current_task(), False
    assert task is not None

    async def watch() -> None:
        nonlocal is_gone
        while (await receive())["type"] != "http.disconnect":
            pass
        is_gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not is_gone or task.uncancel():
            raise
    finally:
        watcher.cancel()

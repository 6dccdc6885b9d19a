"""What surrounds every request: its id, its metrics, and answers to what is refused unrouted."""

import re
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.faults import refusal_for
from gateway.metrics import Metrics
from gateway.upstream.models import UNKNOWN

REQUEST_ID = "x-request-id"
_PLAIN_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
GONE = 499
"""The status, as nginx counts it, of a request whose client left before the response began."""


class RequestIds:
    """A request and its response have an id, the client's own if it is plain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(16)
        state = scope.setdefault("state", {})
        state["request_id"], state["arrived_s"] = request_id, time.perf_counter()
        header = (REQUEST_ID.encode(), request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        await self._app(scope, receive, send_with_id)


class Observed:
    """Counts and times every request, by the route that takes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics: Metrics = scope["app"].state.service.metrics
        status, started_s = GONE, time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics.open.inc()
        try:
            await self._app(scope, receive, send_and_note)
        finally:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            metrics.open.dec()
            metrics.requests.labels(route, status).inc()
            metrics.duration_s.labels(route).observe(time.perf_counter() - started_s)


class Refusals:
    """Answers what no route does: what is raised before one is found, and faults of our own."""

    def __init__(self, app: ASGIApp, refusal: Callable[[str, GatewayError], Response]) -> None:
        self._app, self._refusal = app, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            found = refusal_for(error, scope.get("state", {}).get("request_id", ""))
            if not has_begun:  # else it is too late for an answer, and uvicorn breaks it off
                await self._refusal(scope["path"], found)(scope, receive, send)

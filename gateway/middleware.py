"""Middleware around every request: its id, metrics, and answers to errors outside of routes."""

import re
import secrets
import time
from collections.abc import Callable
from functools import lru_cache, partial

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.faults import refusal_for
from gateway.metrics import Metrics
from gateway.protocols.request import PATHS_MODEL
from gateway.unknown_paths import corrected
from gateway.upstream.models import UNKNOWN

REQUEST_ID = "x-request-id"
_PLAIN_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
GONE = 499
"""nginx's status for a request whose client left before the response began."""


class RequestTracking:
    """Gives a request and its response an id, which is the client's own if it is plain. Counts and
    times the request by its route, and answers errors that are raised outside of routes."""

    def __init__(self, app: ASGIApp, refusal: Callable[[str, GatewayError], Response]) -> None:
        self._app, self._refusal = app, refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics: Metrics = scope["app"].state.service.metrics
        request_id, started_s, status = _request_id(scope), time.perf_counter(), GONE
        scope.setdefault("state", {}).update(request_id=request_id, arrived_s=started_s)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                header = (REQUEST_ID.encode(), request_id.encode())
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        metrics.open.inc()
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            found = refusal_for(error, request_id)
            if status == GONE:  # otherwise it is too late for an answer, and uvicorn closes
                await self._refusal(scope["path"], found)(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            metrics.open.dec()
            metrics.requests.labels(route, status).inc()
            metrics.duration_s.labels(route).observe(time.perf_counter() - started_s)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _PLAIN_ID.fullmatch(given) else secrets.token_hex(16)


class CorrectedPath:
    """Before anything else reads a request, its path is `corrected` to one that is served, and HEAD
    becomes GET, whose body uvicorn leaves out."""

    def __init__(self, app: ASGIApp, is_served: Callable[[str], bool]) -> None:
        self._app = app
        self._corrected = lru_cache(maxsize=1024)(partial(corrected, is_served=is_served))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path, model = self._corrected(scope["path"])
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            scope = {**scope, "path": path, "method": method, PATHS_MODEL: model}
        await self._app(scope, receive, send)

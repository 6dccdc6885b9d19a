"""Finds the caller of every request before its body is read."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.access import Access

OPEN_PATHS = frozenset(
    {
        "/livez",
        "/readyz",
        "/health",
        "/v2/health/live",
        "/v2/health/ready",
        "/docs",
        "/openapi.json",
    }
)
"""Paths that need no key."""


class Authentication:
    """Middleware: the state of a request has its `caller`; raises Unauthenticated and Forbidden."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            access: Access = scope["app"].state.service.access
            found = await access.authenticator.caller(Headers(scope=scope), scope["path"])
            scope.setdefault("state", {})["caller"] = found
        await self._app(scope, receive, send)

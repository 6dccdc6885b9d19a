"""Finds the key of a request, and refuses one without a valid key before its body is read."""

import re
from collections.abc import Collection, Mapping
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.key_store import KeyStore
from gateway.access.keys import split_token, verify
from gateway.call import ANYBODY, Caller
from gateway.errors import Forbidden, Unauthenticated

HOW = "send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"

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

_PORT = re.compile(r":\d*$")


class Authenticator:
    """Finds the caller of a request; without a store every caller on this machine is accepted.

    A web page can give its own name the address of this machine (DNS rebinding), and its scripts
    would be such a caller. So the Host of a request must then be this machine, or one of `hosts`.
    """

    def __init__(self, store: KeyStore | None, hosts: Collection[str] = ()) -> None:
        self._store, self._hosts = store, hosts

    async def caller(self, headers: Mapping[str, str], path: str) -> Caller:
        """The caller; raises Unauthenticated and Forbidden. Header names are in lower case."""
        if self._store is None:
            self._check_host(headers.get("host", "localhost"))
            return ANYBODY
        key_id, secret = split_token(_token(headers))
        key = await self._store.find(key_id) if key_id else None
        if not verify(key, secret) or key is None:
            raise _refused("the key is unknown")
        if fault := key.fault():
            raise _refused(fault)
        if not key.allows_route(path):
            raise Forbidden(f"key {key.id} may not use {path}; it may use {', '.join(key.routes)}")
        return Caller(key_id=key.id, tenant=key.tenant)

    def _check_host(self, given: str) -> None:
        name = _PORT.sub("", given).strip("[]").lower()
        if name not in self._hosts and not _is_this_machine(name):
            raise Forbidden.at(
                "host",
                f"{name!r:.80} asked; without keys only this machine may ask: 127.0.0.1 or"
                " localhost, or a name in access.hosts",
            )


def _is_this_machine(name: str) -> bool:
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _refused(message: str) -> Unauthenticated:
    refusal = Unauthenticated(message)
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


def _token(headers: Mapping[str, str]) -> str:
    """The token of OpenAI's and Cohere's header, of Anthropic's, or of Azure's."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    for name in ("x-api-key", "api-key"):
        if given := headers.get(name, "").strip():
            return given
    raise _refused(f"a key is required: {HOW}")


class Authentication:
    """Middleware: the state of a request has its `caller`; raises Unauthenticated and Forbidden."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            authenticator: Authenticator = scope["app"].state.service.access.authenticator
            found = await authenticator.caller(Headers(scope=scope), scope["path"])
            scope.setdefault("state", {})["caller"] = found
        await self._app(scope, receive, send)

"""Which key a request brings, and whether it may come in."""

from collections.abc import Mapping
from datetime import UTC, datetime

from gateway.access.key_store import KeyStore
from gateway.access.keys import split_token, verify
from gateway.call import ANYBODY, Caller
from gateway.errors import Forbidden, Unauthenticated

HOW = "send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'"


class Authenticator:
    """Finds the caller of a request; without a store every caller is let in."""

    def __init__(self, store: KeyStore | None) -> None:
        self._store = store

    async def caller(self, headers: Mapping[str, str], path: str) -> Caller:
        """The caller; raises Unauthenticated and Forbidden. Header names are in lower case."""
        if self._store is None:
            return ANYBODY
        key_id, secret = split_token(_token(headers))
        key = await self._store.find(key_id) if key_id else None
        if not verify(key, secret) or key is None:
            raise _refused("the key is unknown")
        if key.disabled:
            raise _refused(f"key {key.id} is disabled")
        if key.expires is not None and key.has_expired(datetime.now(UTC)):
            raise _refused(f"key {key.id} expired at {key.expires.isoformat()}")
        if not key.allows_route(path):
            raise Forbidden(f"key {key.id} may not use {path}; it may use {', '.join(key.routes)}")
        return Caller(key_id=key.id, tenant=key.tenant)


def _refused(message: str) -> Unauthenticated:
    refusal = Unauthenticated(message)
    refusal.headers["www-authenticate"] = "Bearer"
    return refusal


def _token(headers: Mapping[str, str]) -> str:
    """The token of OpenAI's and Cohere's header, or of Anthropic's."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.strip():
        return bearer.strip()
    if given := headers.get("x-api-key", "").strip():
        return given
    raise _refused(f"a key is required: {HOW}")

"""Kept answers in Valkey or Redis, for several gateways.

The store bounds its size itself: `maxmemory` with the policy `allkeys-lru`.
"""

from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.exceptions import ValkeyError

from gateway.cache.store import StoreError

_ANSWER_S = 0.25
"""A store that answers later than this counts as away: the model is faster than waiting."""
_CONNECTIONS = 16


class ValkeyStore:
    """At `url`: valkey://, valkeys://, redis:// or rediss://. Raises StoreError."""

    def __init__(self, url: str, prefix: str = "gateway:cache") -> None:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_ANSWER_S,
            socket_timeout=_ANSWER_S,
            socket_connect_timeout=_ANSWER_S,
        )
        self._store = Valkey.from_pool(pool)
        self._prefix = prefix

    async def get(self, key: str) -> bytes | None:
        try:
            found = await self._store.get(self._name(key))
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreError(type(error).__name__) from error
        return None if found is None else bytes(found)

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None:
        try:
            await self._store.set(self._name(key), entry, px=round(ttl_s * 1000))
        except (ValkeyError, OSError, TimeoutError) as error:
            raise StoreError(type(error).__name__) from error

    async def close(self) -> None:
        await self._store.aclose()

    def _name(self, key: str) -> str:
        return f"{self._prefix}:{key}"

"""The cache, put together from the settings."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.cache.exact import ExactCache, cached
from gateway.cache.settings import CacheSettings
from gateway.cache.store import MemoryStore, Store
from gateway.cache.valkey_store import ValkeyStore
from gateway.call import Handler

Count = Callable[[str], None]
"""Told hit or miss."""


@dataclass(frozen=True)
class Cache:
    """The exact cache, or none."""

    exact: ExactCache | None

    def around(self, inner: Handler, count: Count) -> Handler:
        return cached(inner, self.exact, count) if self.exact else inner


@asynccontextmanager
async def open_cache(settings: CacheSettings, kept_header: str) -> AsyncIterator[Cache]:
    """`kept_header` is what says which version of a model answered."""
    if not settings.enabled:
        yield Cache(None)
        return
    store: Store = ValkeyStore(settings.url) if settings.url else MemoryStore(settings.memory_bytes)
    try:
        yield Cache(ExactCache(store, settings.ttl_s, settings.entry_bytes, (kept_header,)))
    finally:
        await store.close()

"""The cache, put together from the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.cache.exact import ExactCache
from gateway.cache.settings import CacheSettings
from gateway.cache.store import MemoryStore, Store, ValkeyStore


@asynccontextmanager
async def open_cache(settings: CacheSettings) -> AsyncIterator[ExactCache | None]:
    """None where the settings have none."""
    if not settings.enabled:
        yield None
        return
    store: Store = ValkeyStore(settings.url) if settings.url else MemoryStore(settings.memory_bytes)
    try:
        yield ExactCache(store, settings.ttl_s, settings.entry_bytes)
    finally:
        await store.close()

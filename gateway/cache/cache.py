"""Puts the caches together, as the settings say."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.cache.exact import ExactCache, cached
from gateway.cache.semantic import SemanticCache, semantically_cached
from gateway.cache.settings import CacheSettings
from gateway.cache.store import MemoryStore, Store, ValkeyStore
from gateway.call import Handler

Count = Callable[[str], None]
"""Called with hit, miss or semantic."""


@dataclass(frozen=True)
class Cache:
    """The caches that are switched on."""

    exact: ExactCache | None
    semantic: SemanticCache | None

    def around(self, inner: Handler, count: Count) -> Handler:
        """`inner` with the caches around it; the semantic cache embeds questions with `inner`."""
        found = cached(inner, self.exact, count) if self.exact else inner
        return semantically_cached(found, self.semantic, inner, count) if self.semantic else found


@asynccontextmanager
async def open_cache(settings: CacheSettings) -> AsyncIterator[Cache]:
    threshold, semantic = settings.semantic_threshold, None
    if threshold is not None:
        semantic = SemanticCache(threshold, settings.ttl_s)
    if not settings.enabled:
        yield Cache(None, semantic)
        return
    store: Store = ValkeyStore(settings.url) if settings.url else MemoryStore(settings.memory_bytes)
    exact = ExactCache(store, settings.ttl_s, settings.entry_bytes)
    try:
        yield Cache(exact, semantic)
    finally:
        await store.close()

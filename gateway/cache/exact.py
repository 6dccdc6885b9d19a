"""The exact cache: a handler that answers a request which it has answered before."""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from gateway.cache.events import UnreadableEntry, as_cached, pack, unpack
from gateway.cache.keys import is_whole, key_of
from gateway.cache.store import Store
from gateway.call import MODEL_VERSION, Call, Event, Handler
from gateway.shared_store import StoreDown

HEADER = "x-cache"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExactCache:
    """Answers in a store. A store that fails counts as a miss, and fails no request."""

    store: Store
    ttl_s: float
    entry_bytes: int

    async def find(self, key: str) -> tuple[list[Event], str] | None:
        """The cached answer, and the version of the model that made it."""
        try:
            entry = await self.store.get(key)
            return unpack(entry) if entry is not None else None
        except StoreDown:
            return None
        except UnreadableEntry as error:
            _log.warning("the cache can't be read: %s", error)
            return None

    async def keep(self, key: str, events: Sequence[Event], version: str) -> None:
        """Keep an answer unless it is too large."""
        entry = pack(events, version)
        if len(entry) <= self.entry_bytes:
            with suppress(StoreDown):
                await self.store.put(key, entry, self.ttl_s)


def cached(inner: Handler, cache: ExactCache, count: Callable[[str], None]) -> Handler:
    """Answers from `cache`, else from `inner`; the header `x-cache` and `count` get which it was.

    Answers that may not be cached have no such header.
    """

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        key = key_of(call)
        found = await cache.find(key) if key else None
        if key:
            call.headers[HEADER] = "hit" if found else "miss"
            count(call.headers[HEADER])
        if found:
            events, call.headers[MODEL_VERSION] = found
            for event in events:
                yield as_cached(event)
            return
        async with aclosing(inner(call)) as answer:
            events = []
            async for event in answer:
                if key:
                    events.append(event)
                if key and is_whole(event):
                    await cache.keep(key, events, call.headers.get(MODEL_VERSION, ""))
                yield event

    return handle

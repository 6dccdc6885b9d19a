"""The exact cache: a handler that answers a request which it has answered before."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from gateway.cache.events import UnreadableEntry, as_cached, pack, unpack
from gateway.cache.keys import is_whole, key_of
from gateway.cache.store import Store, StoreError
from gateway.call import Call, Event, Handler

HEADER = "x-cache"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExactCache:
    """`kept_headers` of an answer come back with it: those that say which model made it."""

    store: Store
    ttl_s: float
    entry_bytes: int
    kept_headers: Sequence[str] = ()

    async def find(self, key: str) -> tuple[list[Event], Mapping[str, str]] | None:
        """The kept answer. A store that fails has none: it never fails a request."""
        try:
            entry = await self.store.get(key)
            return unpack(entry) if entry is not None else None
        except (StoreError, UnreadableEntry) as error:
            _log.warning("the cache can't be read: %s", error)
            return None

    async def keep(self, key: str, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        """Keep an answer unless it is too large."""
        kept = {name: headers[name] for name in self.kept_headers if name in headers}
        entry = pack(events, kept)
        if len(entry) > self.entry_bytes:
            return
        try:
            await self.store.put(key, entry, self.ttl_s)
        except StoreError as error:
            _log.warning("the cache can't be written: %s", error)


def cached(inner: Handler, cache: ExactCache, count: Callable[[str], None]) -> Handler:
    """Answers from `cache`, else from `inner`; says which in the header `x-cache`, and to `count`.

    Nothing is said of what may not be kept.
    """

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        key = key_of(call)
        found = await cache.find(key) if key else None
        if key:
            call.headers[HEADER] = "hit" if found else "miss"
            count(call.headers[HEADER])
        if found:
            events, headers = found
            call.headers |= headers
            for event in events:
                yield as_cached(event)
            return
        async with aclosing(inner(call)) as answer:
            events = []
            async for event in answer:
                if key:
                    events.append(event)
                if key and is_whole(event):
                    await cache.keep(key, events, call.headers)
                yield event

    return handle

"""Stores of cached answers: this process, or a Valkey that several gateways share."""

import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Protocol

from gateway.shared_store import SharedStore

_ANSWER_S = 0.25
"""A Valkey that takes longer to answer counts as failed: asking the model is faster."""


class Store(Protocol):
    """Bytes by key, for a time; `get` and `put` raise StoreDown."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None: ...

    async def close(self) -> None: ...


class MemoryStore:
    """Keeps at most `bytes_limit` bytes of entries; the least recently used are dropped first."""

    def __init__(self, bytes_limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = bytes_limit
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self.bytes_used = 0

    async def get(self, key: str) -> bytes | None:
        found = self._entries.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return found[1]

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None:
        """An entry that is larger than the whole store is left out."""
        if len(entry) > self._limit:
            return
        if key in self._entries:
            self._drop(key)
        self._entries[key] = (self._clock() + ttl_s, entry)
        self.bytes_used += len(entry)
        while self.bytes_used > self._limit:
            self._drop(next(iter(self._entries)))

    async def close(self) -> None:
        """Does nothing: no connection is open."""

    def _drop(self, key: str) -> None:
        self.bytes_used -= len(self._entries.pop(key)[1])


class ValkeyStore:
    """Keeps entries in the Valkey or Redis at `url`, for several gateways.

    That store limits its size itself: `maxmemory` with the policy `allkeys-lru`.
    """

    def __init__(self, url: str) -> None:
        self._store = SharedStore(url, _ANSWER_S, "answers are not kept")

    async def get(self, key: str) -> bytes | None:
        found = await self._store.ask(partial(self._store.client.get, self._name(key)))
        return None if found is None else bytes(found)

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None:
        put = partial(self._store.client.set, self._name(key), entry, px=round(ttl_s * 1000))
        await self._store.ask(put)

    async def close(self) -> None:
        await self._store.close()

    def _name(self, key: str) -> str:
        return f"gateway:cache:{key}"

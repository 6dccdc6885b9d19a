"""Where kept answers are: in this process, or in a Valkey that several gateways share."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol


class StoreError(Exception):
    """The store does not answer."""


class Store(Protocol):
    """Bytes by key, for a time; `get` and `put` raise StoreError."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None: ...

    async def close(self) -> None: ...


class MemoryStore:
    """At most `bytes_limit` bytes of entries; those that were asked for longest ago leave first."""

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
        """Nothing is open."""

    def _drop(self, key: str) -> None:
        self.bytes_used -= len(self._entries.pop(key)[1])

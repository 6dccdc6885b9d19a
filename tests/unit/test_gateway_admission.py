"""Admission: never more in front of the models than there is room for, and nothing is lost."""

import asyncio
import random
import selectors
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.access.admission import Admission, Room, fair
from gateway.access.demand import Assumptions
from gateway.access.fairness import Ticket
from gateway.call import (
    Call,
    Caller,
    Embed,
    Event,
    Finished,
    Generate,
    Handler,
    Sampling,
    Text,
    Usage,
)
from gateway.errors import DeadlinePassed, Unavailable
from gateway.metrics import Metrics

ROOM = Room(running=4, running_tokens=1000, waiting=8, waiting_tokens=10_000)


def ticket(tenant: str = "a", tokens: int = 10) -> Ticket:
    return Ticket(tenant, 1, tokens)


def unread(tenant: str) -> Ticket:
    return Ticket(tenant, 1, 10, prompt_tokens=5)


async def started(admission: Admission, *tickets: Ticket) -> list[asyncio.Task[None]]:
    """The tickets' waiting, each of which has come as far as it can."""
    tasks = [asyncio.create_task(admission.enter(ticket)) for ticket in tickets]
    await settled()
    return tasks


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[Any]]) -> None:
    async def whole() -> None:
        await test()

    asyncio.run(whole())


def test_while_it_is_held_nothing_starts_beside_what_runs() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        admission.hold(True)
        first, second = await started(admission, one := ticket(), ticket("b"))
        assert (first.done(), second.done()) == (True, False)
        admission.leave(one, 1)
        await settled()
        assert second.done()  # nothing runs, so nothing else could end the wait
        (third,) = await started(admission, ticket())
        assert not third.done()
        admission.hold(False)
        await settled()
        assert third.done()

    run(test)


@given(
    steps=st.lists(st.tuples(st.sampled_from(["enter", "end", "go"]), st.integers(0, 5))),
    seed=st.integers(0, 3),
)
@settings(deadline=None)
def test_never_more_than_there_is_room_for_and_nothing_is_lost(
    steps: list[tuple[str, int]], seed: int
) -> None:
    async def test() -> None:
        admission, chance = Admission(ROOM), random.Random(seed)
        inside: list[Ticket] = []
        outcomes = {"in": 0, "gone": 0, "refused": 0}

        async def visit(one: Ticket) -> None:
            try:
                await admission.enter(one)
            except Unavailable:
                outcomes["refused"] += 1
            except asyncio.CancelledError:
                outcomes["gone"] += 1
                raise
            else:
                outcomes["in"] += 1
                inside.append(one)

        tasks: list[asyncio.Task[None]] = []
        for action, number in steps:
            if action == "enter":
                tasks.append(asyncio.create_task(visit(ticket("abc"[number % 3], 40 * number + 1))))
            elif action == "end" and inside:
                admission.leave(inside.pop(number % len(inside)), number)
            elif action == "go" and tasks:
                chance.choice(tasks).cancel()
            if chance.random() < 0.7:
                await settled()
            queue = admission.queue
            assert queue.running <= ROOM.running
            assert queue.running_tokens <= ROOM.running_tokens
            assert queue.waiting <= ROOM.waiting
        for _ in range(len(tasks) + 1):
            await settled()
            for one in tuple(inside):
                inside.remove(one)
                admission.leave(one, 0)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.queue.running, admission.queue.waiting) == (0, 0)
        assert sum(outcomes.values()) + sum(task.cancelled() for task in tasks) >= len(tasks)

    run(test)


def test_one_tenant_leaves_a_place_for_the_next() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        flood = await started(admission, *(ticket("flood") for _ in range(7)))
        assert admission.queue.running == 3
        (quiet,) = await started(admission, ticket("quiet"))
        assert quiet.done()
        for task in flood:
            task.cancel()

    run(test)


def test_few_of_a_tenant_run_beside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        admission = Admission(replace(ROOM, running=8, beside=2))
        flood = [ticket("flood") for _ in range(8)]
        await started(admission, *flood)
        assert admission.queue.of("flood").running == 6
        (quiet,) = await started(admission, one := ticket("quiet"))
        assert quiet.done()
        admission.leave(one, 1)
        for each in flood[:5]:
            admission.leave(each, 1)
        assert admission.queue.of("flood").running == 2  # the neighbour may come again
        monkeypatch.setattr("gateway.access.admission._MOMENT_S", -1.0)
        await started(admission, ticket("flood"))
        assert admission.queue.of("flood").running == 4

    run(test)


def test_beside_another_a_tenant_starts_no_prompt_while_one_is_read() -> None:
    async def test() -> None:
        admission = Admission(replace(ROOM, running=8, beside=4))
        quiet, flood = unread("quiet"), [unread("flood") for _ in range(8)]
        await started(admission, quiet, *flood)
        assert admission.queue.of("flood").running == 1  # each has one at once
        admission.read(flood[0])
        assert admission.queue.of("flood").running == 1  # the neighbour's is still read
        admission.read(quiet)
        for number, each in enumerate(flood[1:4], start=2):
            assert admission.queue.of("flood").running == number
            admission.read(each)
        assert admission.queue.of("flood").running == 4

    run(test)


def test_a_tenant_that_is_alone_has_many_prompts_read_together() -> None:
    async def test() -> None:
        admission = Admission(replace(ROOM, running=8, beside=4))
        await started(admission, *(unread("flood") for _ in range(8)))
        assert admission.queue.of("flood").running == 6

    run(test)


def test_where_nothing_is_shared_one_tenant_has_everything() -> None:
    async def test() -> None:
        admission = Admission(Room(4, 1000, 8, 10_000), is_shared=False)
        tasks = await started(admission, *(ticket() for _ in range(12)))
        assert (admission.queue.running, admission.queue.waiting) == (4, 8)
        with pytest.raises(Unavailable):
            await admission.enter(ticket())
        for task in tasks:
            task.cancel()

    run(test)


def test_a_full_queue_refuses_a_flood_but_not_its_neighbour() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        tasks = await started(admission, *(ticket("flood") for _ in range(3 + 6)))
        with pytest.raises(Unavailable, match="6 requests wait") as refusal:
            await admission.enter(ticket("flood"))
        assert refusal.value.retry_after_s is not None
        assert refusal.value.retry_after_s >= 1
        more = await started(admission, ticket("quiet"), ticket("quiet"))
        assert [task.done() for task in more] == [True, False]
        for task in tasks + more:
            task.cancel()

    run(test)


def test_a_large_request_gets_in_although_small_ones_keep_coming() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        small = [ticket("a", 300) for _ in range(3)]
        await started(admission, *small)
        (large,) = await started(admission, ticket("b", 900))
        waiting = await started(admission, ticket("c", 100), ticket("c", 100))
        order = []
        for one in small:
            admission.leave(one, 300)
            await settled()
            order.append(large.done())
        assert order[-1]
        for task in waiting:
            task.cancel()

    run(test)


def test_who_waited_behind_one_that_leaves_starts() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        await admission.enter(ticket("a", 900))
        large, small = await started(admission, ticket("b", 500), ticket("c", 50))
        assert (large.done(), small.done()) == (False, False)
        large.cancel()
        await settled()
        assert small.done()

    run(test)


def test_one_that_is_larger_than_the_room_runs_alone() -> None:
    async def test() -> None:
        admission = Admission(ROOM)
        (huge,) = await started(admission, ticket("a", 5000))
        assert huge.done()

    run(test)


def test_a_deadline_ends_the_waiting() -> None:
    async def test() -> None:
        admission = Admission(Room(1, 100, 8, 1000))
        await admission.enter(ticket())
        with pytest.raises(DeadlinePassed):
            await admission.enter(ticket("b"), asyncio.get_running_loop().time() + 0.01)
        assert admission.queue.waiting == 0

    run(test)


def test_who_waits_for_a_gateway_that_ends_is_told_so_at_once() -> None:
    async def test() -> None:
        admission = Admission(Room(1, 100, 8, 1000))
        await admission.enter(ticket())
        (waiting,) = await started(admission, ticket("b"))
        admission.close()
        for refused in (waiting, admission.enter(ticket("c"))):
            with pytest.raises(Unavailable, match="is ending") as refusal:
                await refused
            assert refusal.value.retry_after_s == 1
        assert (admission.queue.running, admission.queue.waiting) == (1, 0)

    run(test)


def test_a_caller_that_goes_just_when_it_is_its_turn_gives_the_turn_on() -> None:
    async def test() -> None:
        admission = Admission(Room(1, 100, 8, 1000))
        first = ticket()
        await admission.enter(first)
        waiting = await started(admission, ticket("b"), ticket("c"))
        admission.leave(first, 1)  # it is b's turn, which has not run yet
        waiting[0].cancel()
        await settled()
        assert waiting[0].cancelled()
        assert waiting[1].done()
        assert admission.queue.running == 1

    run(test)


def chain(generating: Admission, encoding: Admission) -> Any:
    async def model(call: Call) -> AsyncGenerator[Event, None]:
        call.usage = Usage(3, 1)
        yield Text("a", 1)
        yield Finished("stop", Usage(3, 1))

    return fair(model, generating, encoding, Assumptions())


def test_the_handler_gives_its_place_back_when_a_stream_breaks() -> None:
    async def test() -> None:
        generating, encoding = Admission(ROOM), Admission(ROOM)
        handler = chain(generating, encoding)
        events = handler(Call(Generate("llm", prompt="hello"), Caller("k", "a"), "1"))
        assert await anext(events) == Text("a", 1)
        assert (generating.queue.running, encoding.queue.running) == (1, 0)
        await events.aclose()
        assert generating.queue.running == 0

    run(test)


@pytest.mark.parametrize(("comes_whole", "reading"), [(False, 21), (True, 0)])
def test_a_prompt_is_read_when_the_first_event_comes(comes_whole: bool, reading: int) -> None:
    async def test() -> None:
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def model(_: Call) -> AsyncGenerator[Event, None]:
            asked.set()
            await go_on.wait()
            yield Text("a", 1)

        room = Admission(ROOM)

        handler = fair(model, room, Admission(ROOM), Assumptions(), comes_whole=comes_whole)
        events = handler(Call(Generate("llm", prompt="hello"), Caller("k", "a"), "1"))
        first = asyncio.ensure_future(anext(events))
        await asked.wait()
        assert room.queue.reading_tokens == reading
        go_on.set()
        await first
        assert (room.queue.reading_tokens, room.queue.running) == (0, 1)
        await events.aclose()

    run(test)


def test_encoders_have_a_room_of_their_own() -> None:
    async def test() -> None:
        generating, encoding = Admission(ROOM), Admission(ROOM)
        handler = chain(generating, encoding)
        events = handler(Call(Embed("embed", texts=("hello",)), Caller("k", "a"), "1"))
        await anext(events)
        assert (generating.queue.running, encoding.queue.running) == (0, 1)
        await events.aclose()

    run(test)


def test_a_giant_holds_up_nobody() -> None:
    """It is charged with a part of the room, so others run beside it, and it waits for no quiet."""

    async def test() -> None:
        encoding = Admission(ROOM)
        handler = chain(Admission(ROOM), encoding)

        async def begun(tenant: str, texts: int) -> AsyncGenerator[Event, None]:
            events = handler(Call(Embed("embed", texts=("a",) * texts), Caller("k", tenant), "1"))
            async with asyncio.timeout(60):
                await anext(events)
            return events

        small = await begun("quiet", 1)
        giant = await begun("flood", 10_000)
        more = await begun("quiet", 1)
        assert encoding.queue.running == 3
        for events in (small, giant, more):
            await events.aclose()
        assert encoding.queue.running_tokens == 0

    run(test)


def test_the_metrics_page_shows_what_waits_and_runs() -> None:
    async def test() -> None:
        generating, metrics = Admission(Room(1, 100, 8, 1000)), Metrics()
        metrics.watch({"generating": generating, "encoding": Admission(ROOM)})
        await generating.enter(ticket())
        waiting = await started(generating, ticket("b"), ticket("c"))
        page = metrics.page(b"").decode()
        assert 'gateway_calls_running{kind="generating"} 1.0' in page
        assert 'gateway_calls_waiting{kind="generating"} 2.0' in page
        assert 'gateway_calls_running{kind="encoding"} 0.0' in page
        for task in waiting:
            task.cancel()

    run(test)


class TimelessLoop(asyncio.SelectorEventLoop):
    """Sleeps take no time, and its clock says that they did."""

    def __init__(self) -> None:
        super().__init__(self._Selector(self))
        self._now_s = 0.0

    def time(self) -> float:
        return self._now_s

    class _Selector(selectors.DefaultSelector):
        def __init__(self, loop: "TimelessLoop") -> None:
            super().__init__()
            self._loop = loop

        def select(self, timeout: float | None = None) -> Any:
            self._loop._now_s += timeout or 0.0
            return super().select(0)


READ_BYTES_S = 4000
"""Speed at which an engine reads prompts, one after the other."""


def first_token_p99_s(is_fair: bool, flooding: int, prompt: str = "hello") -> float:
    """A quiet tenant's, beside a flood with that prompt, before an engine with 32 places whose
    steps take 10 ms."""

    async def whole() -> float:
        places, room = asyncio.Semaphore(32), Room(running=32)
        reader = asyncio.Lock()

        async def engine(call: Call) -> AsyncGenerator[Event, None]:
            assert isinstance(call.request, Generate)
            async with places:  # first come, first served
                tokens = call.request.sampling.max_tokens or 0
                async with reader:
                    await asyncio.sleep(len(call.request.prompt) / READ_BYTES_S)
                await asyncio.sleep(0.02)
                yield Text("x", 1)
                await asyncio.sleep(0.01 * tokens)
                call.usage = Usage(10, tokens)

        handler: Handler = engine
        if is_fair:
            handler = fair(engine, Admission(room), Admission(room), Assumptions())

        async def first_token_s(tenant: str, tokens: int, prompt: str = "hello") -> float:
            asked = Generate("llm", prompt=prompt, sampling=Sampling(max_tokens=tokens))
            call, start_s = Call(asked, Caller("k", tenant), "1"), loop.time()
            seen_s = [loop.time() - start_s async for _ in handler(call)]
            return seen_s[0]

        async def flood() -> None:
            while True:
                await first_token_s("flood", 200, prompt)

        loop = asyncio.get_running_loop()
        floods = [asyncio.create_task(flood()) for _ in range(flooding)]
        await asyncio.sleep(5)
        times_s = []
        for _ in range(100):
            times_s.append(await first_token_s("quiet", 4))
            await asyncio.sleep(0.37)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)
        return sorted(times_s)[98]

    with asyncio.Runner(loop_factory=TimelessLoop) as runner:
        return runner.run(whole())


def test_a_quiet_tenant_waits_no_longer_beside_a_flood() -> None:
    alone = first_token_p99_s(is_fair=True, flooding=0)
    assert first_token_p99_s(is_fair=True, flooding=100) <= 2 * alone
    assert first_token_p99_s(is_fair=False, flooding=100) > 10 * alone


def test_a_quiet_tenant_waits_for_one_long_prompt_of_a_flood() -> None:
    long = "a" * 8000
    alone = first_token_p99_s(is_fair=True, flooding=0)
    one_s = len(long) / READ_BYTES_S
    assert first_token_p99_s(is_fair=True, flooding=100, prompt=long) <= alone + one_s + 0.1
    assert first_token_p99_s(is_fair=False, flooding=100, prompt=long) > 10 * one_s

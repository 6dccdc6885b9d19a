"""Closed loop: clients that wait for their answer. Open loop: users who don't wait for each other.

Both run in one event loop: 200 clients must not cost 200 threads on the cores that the server uses.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tests.load.records import Outcome, Record, Refused, Response, Send

T = TypeVar("T")
OnRecord = Callable[[Record], object]
"""Sees each record as soon as its request has ended."""


def _ignore(_: Record) -> None:
    pass


@dataclass(frozen=True)
class Window:
    """How long a closed loop sends: `measure_s`, then on until every client had `rounds` requests
    on average, but never beyond `most_s`. What is under way then is waited for.
    """

    measure_s: float
    rounds: int = 0
    most_s: float = 60.0

    def is_over(self, elapsed_s: float, done: int, clients: int) -> bool:
        """Whether a client stops."""
        if elapsed_s >= max(self.most_s, self.measure_s):
            return True
        return elapsed_s >= self.measure_s and done >= self.rounds * clients


async def closed_loop(
    send: Send[T],
    requests: Iterator[T],
    clients: int,
    window: Window,
    timeout_s: float = 60.0,
    on_record: OnRecord = _ignore,
) -> list[Record]:
    """`clients` at a time, each sending its next request when it has its answer."""
    clock = asyncio.get_running_loop().time
    start_s = clock()
    records: list[Record] = []

    async def client() -> None:
        while not window.is_over(clock() - start_s, len(records), clients):
            records.append(await _exchange(send, next(requests), clock(), timeout_s))
            on_record(records[-1])

    await asyncio.gather(*(client() for _ in range(clients)))
    return records


async def open_loop(
    send: Send[T],
    requests: Iterator[T],
    arrivals_s: Sequence[float],
    timeout_s: float = 60.0,
    most_in_flight: int = 2000,
    on_record: OnRecord = _ignore,
) -> list[Record]:
    """A request at each of `arrivals_s` (from now), whether the ones before are answered or not.

    Beyond `most_in_flight` a request is sent late, and its latency counts from when it was due.
    """
    clock = asyncio.get_running_loop().time
    start_s = clock()
    room = asyncio.Semaphore(most_in_flight)

    async def user(request: T, due_s: float) -> Record:
        await asyncio.sleep(max(0.0, due_s - clock()))
        async with room:
            record = await _exchange(send, request, due_s, timeout_s)
        on_record(record)
        return record

    given = itertools.islice(requests, len(arrivals_s))
    users = [user(r, start_s + at) for r, at in zip(given, arrivals_s, strict=True)]
    return list(await asyncio.gather(*users))


async def _exchange(send: Send[T], request: T, due_s: float, timeout_s: float) -> Record:
    """One request to its end; its faults are part of what was seen."""
    clock = asyncio.get_running_loop().time
    sent_s = clock()
    responses: list[Response] = []
    outcome, fault = Outcome.OK, ""
    try:
        async with asyncio.timeout(timeout_s):
            async for work in send(request):
                responses.append(Response(clock(), work))
        if not responses:
            outcome, fault = Outcome.ERROR, "NoResponse"
    except TimeoutError:
        outcome = Outcome.TIMEOUT
    except Refused:
        outcome = Outcome.REFUSED
    except Exception as error:
        outcome, fault = Outcome.ERROR, type(error).__name__
    return Record(due_s, sent_s, clock(), tuple(responses), outcome, fault)


def interleaved(variants: Sequence[T], repeats: int) -> Iterator[tuple[int, T]]:
    """(repeat, variant): a noisy machine is noisy for every variant.

    Every other repeat goes backwards, so that no variant always follows the same one.
    """
    for repeat in range(repeats):
        for variant in variants if repeat % 2 == 0 else reversed(variants):
            yield repeat, variant

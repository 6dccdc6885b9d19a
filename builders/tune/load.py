"""One slice of load on one server: a closed loop of clients, and what is kept of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from builders.tune.decision import Slice
from builders.tune.objective import STREAMED, Limit, Timing, Workload
from builders.tune.order import Clients
from builders.tune.traffic import Request, requests
from tests.load.loops import Window, closed_loop
from tests.load.records import Outcome, Record, Refused, Send
from tests.load.summary import summarize

ROUNDS = 2
"""Requests of each client in a slice, at least on average: `rag` takes long."""

TIMEOUT_S = 60.0
_UNAVAILABLE = "StatusCode.UNAVAILABLE"


class SliceLoad:
    """`measure` is what a laboratory calls."""

    def __init__(self, limits: Sequence[Limit], clients: Clients, slice_s: float) -> None:
        self._limits, self._clients = limits, clients
        self._window = Window(slice_s, rounds=ROUNDS)

    def measure(self, workload: Workload, url: str, seed: int) -> Slice:
        """Load on the server at `url`; the same requests for the same seed."""
        given, clients = requests(workload, seed), self._clients.of(workload)
        records = asyncio.run(_load(workload, url, given, clients, self._window))
        timings = [limit.timing for limit in self._limits if limit.workload == workload]
        return slice_of(workload, records, timings)


def slice_of(workload: Workload, records: Sequence[Record], timings: Sequence[Timing]) -> Slice:
    """What is kept: throughput of what was answered, and the timings that limits are about.

    `rag` counts questions, whatever the answers' lengths.
    """
    good = [record for record in records if record.outcome is Outcome.OK]
    found = summarize(records)
    rate = found.requests_per_s if workload == "rag" else found.work_per_s
    kept = tuple(tuple(s for r in good for s in _TIMINGS[timing](r)) for timing in timings)
    return Slice(rate, len(records) - len(good), kept)


def _latency(record: Record) -> list[float]:
    return [record.latency_s]


def _first(record: Record) -> list[float]:
    return [] if record.first_response_s is None else [record.first_response_s]


_TIMINGS: dict[Timing, Callable[[Record], list[float]]] = {
    "latency": _latency,
    "ttft": _first,
    "itl": Record.gaps_s,
}


async def _load(
    workload: Workload, url: str, given: Iterator[Request], clients: int, window: Window
) -> list[Record]:
    async with aio.InferenceServerClient(url) as client:
        send: Send[Request] = _streamed(client) if workload in STREAMED else _single(client)
        return await closed_loop(send, given, clients, window, TIMEOUT_S)


def _single(client: Any) -> Send[Request]:
    async def send(request: Request) -> AsyncIterator[float]:
        try:
            await client.infer(request.model, list(request.inputs))
        except InferenceServerException as error:
            raise _refused(error) from error
        yield request.work

    return send


def _streamed(client: Any) -> Send[Request]:
    async def send(request: Request) -> AsyncIterator[float]:
        async for result, error in client.stream_infer(_once(request)):
            if error:
                raise _refused(error)
            yield float(result.as_numpy("num_output_tokens").sum())
            if result.get_response().parameters["triton_final_response"].bool_param:
                return

    return send


async def _once(request: Request) -> AsyncIterator[dict[str, Any]]:
    yield {"model_name": request.model, "inputs": list(request.inputs)}


def _refused(error: Exception) -> Exception:
    """`Refused` where the server says that it has too much to do."""
    status = error.status() if isinstance(error, InferenceServerException) else None
    return Refused() if status == _UNAVAILABLE else error

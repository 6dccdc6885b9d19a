"""Loads a server with the requests of one entry and measures the SLO's percentile."""

import asyncio
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.headroom.search import Kind, Step
from tests.headroom.slo import ENTRIES, STREAMED, Slo
from tests.load.arrivals import poisson
from tests.load.loops import Window, closed_loop, open_loop
from tests.load.records import Record
from tests.load.summary import summarize
from tests.load.triton_client import Triton, payload
from tests.load.workloads import documents, embeds, prompts, rags, reranks

LIMITS_IN_A_STEP = 10
"""Shortest open-loop step in limits. A queue grows slowly: at 10 % above what a server can do the
waiting time reaches the limit only after ten limits."""
SHORTEST_STEP_S = 5.0
LONGEST_STEP_S = 120.0
PROBE_S = 5.0
PROBE_CLIENTS = 4
ANSWER_TOKENS = 64
RAG_DOCUMENTS = 10

Seen = Callable[[Record], object]


def step_s(slo: Slo, rate_per_s: float) -> float:
    """How long a step at this rate lasts."""
    return max(SHORTEST_STEP_S, LIMITS_IN_A_STEP * slo.limit_s, slo.requests_needed / rate_per_s)


@dataclass
class Meter:
    """Steps on the server whose gRPC address is `url`."""

    url: str
    slo: Slo
    _requests: Iterator[bytes] = field(init=False)
    _seed: int = 0

    def __post_init__(self) -> None:
        self._requests = _payloads(self.slo.entry)

    def probe(self) -> float:
        """Warms the server up; requests it answers in a second with a few clients."""
        return summarize(self._closed(PROBE_CLIENTS, Window(PROBE_S), _ignore)).requests_per_s

    def step(self, kind: Kind, load: float, on_record: Seen) -> Step:
        records = self._step(kind, load, on_record)
        summary, measured_s = summarize(records), self.slo.measured_s(records)
        is_kept = measured_s <= self.slo.limit_s
        return Step(
            kind, load, summary.requests, summary.answered, summary.requests_per_s, measured_s,
            is_kept,
        )  # fmt: skip

    def _step(self, kind: Kind, load: float, on_record: Seen) -> list[Record]:
        if kind == "rate":
            return self._open(load, on_record)
        rounds = math.ceil(self.slo.requests_needed / load)
        return self._closed(round(load), Window(SHORTEST_STEP_S, rounds, LONGEST_STEP_S), on_record)

    def _closed(self, clients: int, window: Window, on_record: Seen) -> list[Record]:
        async def run() -> list[Record]:
            triton = Triton(self.url)
            send = self._send(triton)
            found = await closed_loop(
                send, self._requests, clients, window, self._timeout_s, on_record
            )
            await triton.close()
            return found

        return asyncio.run(run())

    def _open(self, rate: float, on_record: Seen) -> list[Record]:
        self._seed += 1
        arrivals = poisson(rate, step_s(self.slo, rate), self._seed)
        ready = iter(list(itertools.islice(self._requests, len(arrivals))))

        async def run() -> list[Record]:
            triton = Triton(self.url)
            send = self._send(triton)
            found = await open_loop(send, ready, arrivals, self._timeout_s, on_record=on_record)
            await triton.close()
            return found

        return asyncio.run(run())

    def _send(self, triton: Triton) -> Any:
        match self.slo.entry:
            case "llm":
                return triton.llm
            case "rag":
                return triton.rag
            case _:
                return triton.unary

    @property
    def _timeout_s(self) -> float:
        """A request that has had no end for three limits has missed the SLO."""
        return 60.0 if self.slo.is_ttft else max(10.0, 3 * self.slo.limit_s)


def _payloads(entry: str) -> Iterator[bytes]:
    """Requests that never repeat, so that no cache answers them."""
    match entry:
        case "embed":
            requests: Iterator[Any] = embeds()
        case "rerank":
            requests = reranks()
        case "llm":
            requests = prompts(ANSWER_TOKENS)
        case _:
            requests = rags(documents(), RAG_DOCUMENTS)
    return (payload(request, ENTRIES[entry], entry in STREAMED) for request in requests)


def _ignore(_: Record) -> None:
    pass
